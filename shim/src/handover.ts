import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { PortshimError } from "./failure.js";
import { printable } from "./text.js";
import type { User } from "./user.js";

/** process.execve, which Node has since 22.15. */
type Execve = (file: string, argv: readonly string[], env: NodeJS.ProcessEnv) => never;

/** Throws PortshimError `no-execve` where this Node cannot become another program. */
export function requireExecve(): Execve {
  const { execve } = process as { execve?: Execve };
  if (typeof execve !== "function") throw new PortshimError("no-execve", process.versions.node);
  return execve.bind(process);
}

/**
 * Becomes the command, as `user` where one is given: for images without a shell, and for those without setpriv. What
 * Node has changed is put back as far as Node can: SIGPIPE and SIGXFSZ.
 *
 * Throws PortshimError `not-found` or `not-executable` (the statuses 127 and 126 of env(1)).
 */
export function becomeByNode(command: readonly string[], user: User | undefined): never {
  const execve = requireExecve();
  const file = findExecutable(command[0] ?? "");
  if (user) {
    process.setgroups?.([...user.groups]);
    process.setgid?.(user.gid);
    process.setuid?.(user.uid);
    process.env.HOME = user.home;
  }
  // Node ignores both. The kernel resets a signal to its default at exec only where a handler is installed.
  for (const name of ["SIGPIPE", "SIGXFSZ"] as const) process.on(name, () => {});
  return execve(file, command, process.env);
}

/** Throws PortshimError `not-found` where there is no such command at all. */
export function requireCommand(command: string): void {
  // Without a PATH each shell has one of its own.
  if (process.env.PATH === undefined) return;
  try {
    findExecutable(command);
  } catch (error) {
    // Whether it can be executed is for who will be the server to find out.
    if (error instanceof PortshimError && error.code === "not-found") throw error;
  }
}

/** As execvp(3) looks a command up. It is looked up first because a failed process.execve() aborts the process. */
function findExecutable(command: string): string {
  const folders = command.includes("/") ? [""] : (process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin").split(delimiter);
  let found = false;
  for (const folder of folders) {
    const path = folder === "" ? command : join(folder, command);
    try {
      if (statSync(path).isDirectory()) {
        found = true;
        continue;
      }
      found = true;
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) found = true;
    }
  }
  throw new PortshimError(found ? "not-executable" : "not-found", printable(command));
}
