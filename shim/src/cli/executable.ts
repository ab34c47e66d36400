import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { PortshimError } from "../error.js";
import { isUtf8, printable } from "../text.js";

/** Where the launcher's execvp(3), which is musl's, looks if there is no PATH. */
const DEFAULT_PATH = "/usr/local/bin:/bin:/usr/bin";

/**
 * Throws PortshimError `not-found` if there is no such command, or `not-executable` if it cannot be executed: do not
 * ask for a password in vain. Looks it up as execvp(3) does.
 */
export function requireExecutable(command: string, env: NodeJS.ProcessEnv): void {
  // Node does not know what these bytes were: exec does.
  if (!isUtf8(command) || (!command.includes("/") && !isUtf8(env.PATH ?? ""))) return;
  const folders = command.includes("/") ? [""] : (env.PATH ?? DEFAULT_PATH).split(delimiter);
  let isThere = false;
  for (const folder of folders) {
    const path = folder === "" ? command : join(folder, command);
    try {
      const isFile = statSync(path).isFile();
      isThere = true;
      accessSync(path, constants.X_OK);
      if (isFile) return;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) isThere = true;
    }
  }
  throw new PortshimError(isThere ? "not-executable" : "not-found", printable(command));
}
