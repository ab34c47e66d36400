import { readFileSync, statSync } from "node:fs";

/** Most bytes; below /proc a file's size is 0 whatever it holds. */
const LONGEST = 16 * 1024 * 1024;

/** The text of a small file, such as those below /proc; empty if it cannot be read, is too long, or not a regular file. */
export function contentOf(file: string): string {
  try {
    // A FIFO would block; a device might never end.
    const status = statSync(file);
    return status.isFile() && status.size <= LONGEST ? readFileSync(file, "utf8") : "";
  } catch {
    return "";
  }
}
