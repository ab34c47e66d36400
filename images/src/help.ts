import type { Command, Option } from "./command.js";
import { COMMANDS, COMMON } from "./commands.js";

/** What each exit status means: by its number, or "128+N". */
export const STATUSES: Readonly<Record<string, string>> = {
  0: "done",
  1: "failed",
  2: "wrong usage",
  "128+N": "stopped by signal N",
};

/** The text of `portshim-images --help`. */
export const HELP = `Usage: portshim-images COMMAND [options]

Puts portshim, the entrypoint that lets an ordinary user's server bind port 80, into images.

Commands:
${Object.entries<Command>(COMMANDS)
  .map(([name, command]) =>
    [`  ${usage(name, command)}\n      ${command.what}`, ...rows(command.options, 6)].join("\n"),
  )
  .join("\n")}

Options:
${rows(COMMON, 2).join("\n")}

The engine is podman or docker: the one at --host, else at DOCKER_HOST or CONTAINER_HOST, else at the socket of podman
(yours, then root's) or docker.

Exit status: ${Object.entries(STATUSES)
  .map(([status, what]) => `${status} ${what}`)
  .join(", ")}.
`;

/** A command with all that it takes: "check IMAGE [--json]". */
export function usage(name: string, { takes, options }: Command): string {
  const all = Object.entries(options).map(
    ([long, option]) => `[${written(long, option)}]${option.multiple ? "…" : ""}`,
  );
  return [name, takes, ...all].join(" ");
}

function rows(options: Readonly<Record<string, Option>>, indent: number): string[] {
  return Object.entries(options).map(([long, option]) => {
    const { short, what } = option;
    const names = `${short ? `-${short}, ` : ""}${written(long, { ...option, short: undefined })}`;
    return `${" ".repeat(indent)}${names.padEnd(30 - indent)} ${what}`;
  });
}

/** An option as it is shortest. */
function written(long: string, { short, value }: { short?: string | undefined; value?: string }): string {
  const flag = short ? `-${short}` : `--${long}`;
  return value === undefined ? flag : `${flag} ${value}`;
}
