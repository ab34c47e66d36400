import { optionsOf, type Purpose } from "./arguments.js";

/** A line of --help. */
interface Entry {
  readonly name: string;
  readonly what: string;
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

Exit status: the command's own; before that 64 (wrong options, or no such user), 69 (no way from here, the host failed,
or no Node.js), 70 (a bug in portshim), 77 (permission denied), 126 (the command cannot be executed), 127 (there is no
such command), 128+N (stopped by signal N).
`;
}

/** The text of `portshim COMMAND --help`: `about` is one or more sentences. */
export function commandHelp(purpose: Purpose, about: string, statuses: string): string {
  return `Usage: portshim ${purpose} [options]

${about}

Options:
${optionRows(purpose)}

Exit status: ${statuses}
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

function rows(entries: readonly Entry[]): string {
  return entries.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join("\n");
}
