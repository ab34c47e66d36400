import type { CommandName, Flag } from "../../../../shim/lib/cli/arguments.js";
import { COMMANDS } from "../../../../shim/lib/cli/commands.js";
import { WAYS } from "../../../../shim/lib/cli/root.js";
import { enumerated } from "../../../../shim/lib/text.js";
import { mdoc } from "../mdoc.js";

/** What there is to add to the options of the commands that change the host. */
export const CHANGING: Readonly<Record<Exclude<Flag<"persist"> & Flag<"guard">, "--start" | "--remove">, string>> = {
  "--via": mdoc`They are those of
.Xr portshim 1
by which the host's root can be asked:
${enumerated(WAYS.map(({ name }) => name))}.
Root on the host is not asked
.Pq Cm write ,
and
.Cm sudo
is only used if it is named.`,
  "--timeout": "From 1 to 86400.",
  "--dry-run": "",
  "--quiet": "",
  "--verbose": "",
  "--help": "",
};

/** The line of `portshim --help` about one of its commands. */
export function whatOf(command: CommandName): string {
  return COMMANDS.find(({ name }) => name === command)?.what ?? "";
}
