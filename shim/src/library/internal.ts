/** For portshim-images only. */
export { DIRECTORIES, LEGACY_FILE, resolveTexts } from "../sysctl/resolve.js";
export { commandLine, json, printable } from "../text.js";
