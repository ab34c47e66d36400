import { existsSync } from "node:fs";
import { machine } from "node:os";
import { join } from "node:path";

/** The descriptor of ours on which the launcher waits for a reply. */
export const LAUNCHER = 3;

/** Where the native launcher is: in npm's package, and in an image. */
const PLACES = [join(__dirname, "../../launcher", `portshim-${machine()}`), join(__dirname, "../../../bin/portshim")];

/**
 * The command before a command that has the kernel end it when this process ends, even by KILL: prctl(2),
 * PR_SET_PDEATHSIG. Exec of a set-user-ID program clears that. Empty on a machine for which there is no launcher.
 */
export function withParent(): string[] {
  const launcher = PLACES.find((path) => existsSync(path));
  return launcher === undefined ? [] : [launcher, "--with-parent", String(process.pid)];
}
