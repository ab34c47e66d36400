import { readFileSync, statSync } from "node:fs";

/** The text of a small file, such as those below /proc; empty if it cannot be read, or is not a regular file. */
export function contentOf(file: string): string {
  try {
    // A FIFO would block; a device might never end.
    return statSync(file).isFile() ? readFileSync(file, "utf8") : "";
  } catch {
    return "";
  }
}
