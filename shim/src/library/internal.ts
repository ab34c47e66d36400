/** For portshim-images only. */
export { KERNEL_DEFAULT, SETTING, WEB } from "../here/threshold.js";
export { DIRECTORIES, LEGACY_FILE, resolveTexts } from "../sysctl/resolve.js";
export { commandLine, json, printable } from "../text.js";
