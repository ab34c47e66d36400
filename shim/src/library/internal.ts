/** What portshim-images shares with portshim; not for others. */
export { DIRECTORIES, LEGACY_FILE, resolveTexts } from "../sysctl/resolve.js";
export { commandLine, printable } from "../text.js";
