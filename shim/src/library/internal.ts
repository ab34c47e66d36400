/** For portshim-images only. */
export { DIRECTORIES, LEGACY_FILE, resolveTexts } from "../sysctl/resolve.js";
export { commandLine, printable } from "../text.js";
