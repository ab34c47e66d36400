import { optionsOf, type Purpose } from "./arguments.js";
import type { Statuses } from "./command.js";
import { STATUS } from "./status.js";

/** A line of --help. */
interface Entry {
  readonly name: string;
  readonly what: string;
}

/** The statuses of every purpose. */
const COMMON: Statuses = { [STATUS.software]: "a bug in portshim", "128+N": "stopped by signal N" };

/** The statuses of a start, before the command runs. */
const OF_START: Statuses = {
  [STATUS.usage]: "wrong options, or no such user",
  [STATUS.unavailable]: "no way from here, the host or the system failed, or no Node.js 20 or later can run",
  [STATUS.noPermission]: "permission denied: refused, dismissed, not answered in time; or root cannot be dropped",
  [STATUS.notExecutable]: "the command cannot be executed",
  [STATUS.notFound]: "there is no such command",
};

/** All statuses, by number: those of a start, or of a command that has these. */
export function statuses(own = OF_START): [status: string, what: string][] {
  return Object.entries({ ...own, ...COMMON });
}

/** The text of `portshim --help`. */
export function help(commands: readonly Entry[], routes: readonly Entry[]): string {
  return `Usage: portshim [options] -- command [argument…]
       portshim COMMAND [options]

Makes sure that the command can bind ports 80 and up (or from the port that sysctl.d sets), asking the host if it must,
then becomes the command.

Options:
${optionRows("start")}

Commands (see portshim COMMAND --help):
${rows(commands)}

Routes:
${rows(routes)}

Exit status: the command's own; before that
${statusRows()}
`;
}

/** The text of `portshim COMMAND --help`: `about` is one or more sentences. */
export function commandHelp(purpose: Purpose, about: string, own: Statuses): string {
  return `Usage: portshim ${purpose} [options]

${about}

Options:
${optionRows(purpose)}

Exit status:
${statusRows(own)}
`;
}

function optionRows(purpose: Purpose): string {
  return rows(
    optionsOf(purpose).map(({ flag, value, variable, help }) => ({
      name: value === undefined ? flag : `${flag}=${value}`,
      what: variable ? `${help} [${variable}]` : help,
    })),
  );
}

function statusRows(own?: Statuses): string {
  return rows(statuses(own).map(([name, what]) => ({ name, what })));
}

function rows(entries: readonly Entry[]): string {
  return entries.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join("\n");
}
