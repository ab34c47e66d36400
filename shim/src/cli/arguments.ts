import { ACCEPTED, accepting, DEFAULTS, type Options, shown } from "../attempt/options.js";
import { PortshimError } from "../error.js";
import { commandLine, enumerated, printable } from "../text.js";

/** A command line taken apart. */
export interface Arguments {
  readonly options: Options;
  /** What follows `--`; empty only if nothing is to be started. */
  readonly command: readonly string[];
}

/** portshim's own commands, which commands.ts loads. */
export const COMMAND_NAMES = ["check", "persist", "guard"] as const;

/** The name of one of portshim's own commands. */
export type CommandName = (typeof COMMAND_NAMES)[number];

/** What portshim is run for: to start a server, or for one of its own commands. */
export type Purpose = "start" | CommandName;

/** An option of portshim. */
export interface Option {
  readonly flag: string;
  /** Its environment variable, for images, whose entrypoint is fixed. */
  readonly variable?: string;
  /** The value's name in the help; undefined: the option is a switch. */
  readonly value?: string;
  readonly help: string;
  /** The purposes it is an option of; undefined: all. */
  readonly of?: readonly Purpose[];
  /** Puts the value (of a switch: "1") into `options`. Throws an Error if it is invalid, as ACCEPTED does. */
  set(options: Options, value: string): void;
}

const TABLE = [
  {
    flag: "--start",
    variable: "PORTSHIM_START",
    value: "N",
    help: "first port the server needs, 0-1024 (default: what sysctl.d sets, else 80)",
    set: (options, value) => {
      options.start = ACCEPTED.start(decimal(value));
    },
  },
  {
    flag: "--via",
    variable: "PORTSHIM_VIA",
    value: "ROUTE,…",
    help: "try only these routes, in this order",
    set: (options, value) => {
      options.via = ACCEPTED.via(value.split(","));
    },
  },
  {
    flag: "--user",
    variable: "PORTSHIM_USER",
    value: "USER[:GROUP]",
    help: "if started as root: become this user, with no capability but the port's",
    of: ["start", "check"],
    set: (options, value) => {
      if (value === "") throw new Error("a user's name or number");
      options.user = value;
    },
  },
  {
    flag: "--optional",
    variable: "PORTSHIM_OPTIONAL",
    help: "if it fails, warn and start the command anyway",
    of: ["start"],
    // The launcher implements it.
    set: () => {},
  },
  {
    flag: "--timeout",
    variable: "PORTSHIM_TIMEOUT",
    value: "SECONDS",
    help: "how long a password prompt can stay open (default: 120)",
    of: ["start", "persist", "guard"],
    set: (options, value) => {
      options.timeout = ACCEPTED.timeout(decimal(value));
    },
  },
  {
    flag: "--dry-run",
    variable: "PORTSHIM_DRY_RUN",
    help: "print what would be done, change nothing, start nothing",
    of: ["start", "persist", "guard"],
    set: (options) => {
      options.dryRun = true;
    },
  },
  {
    flag: "--quiet",
    variable: "PORTSHIM_QUIET",
    help: "say only what runs as root, and failures",
    of: ["start", "persist", "guard"],
    set: (options) => {
      options.quiet = true;
    },
  },
  {
    flag: "--verbose",
    variable: "PORTSHIM_VERBOSE",
    help: "say what was found and decided",
    of: ["start", "persist", "guard"],
    set: (options) => {
      options.verbose = true;
    },
  },
  {
    flag: "--json",
    help: "print JSON",
    of: ["check"],
    set: (options) => {
      options.json = true;
    },
  },
  {
    flag: "--bind",
    help: "bind the wanted ports for a moment, and say who uses those that fail",
    of: ["check"],
    set: (options) => {
      options.bind = true;
    },
  },
  {
    flag: "--remove",
    help: "remove the file, and restore what the host's other files set",
    of: ["persist"],
    set: (options) => {
      options.remove = true;
    },
  },
  {
    flag: "--ports",
    value: "PORT,…",
    help: "ports that stay open, 1-1023 (default: the first port the server needs, 80 and 443)",
    of: ["guard"],
    set: (options, value) => {
      options.ports = ACCEPTED.ports(value.split(",").map(decimal));
    },
  },
  {
    flag: "--apply",
    help: "load the rules on the host, with one password prompt",
    of: ["guard"],
    set: (options) => {
      options.apply = true;
    },
  },
  {
    flag: "--remove",
    help: "take the rules away from the host, with one password prompt",
    of: ["guard"],
    set: (options) => {
      options.remove = true;
    },
  },
  {
    flag: "--help",
    help: "print this and exit",
    set: (options) => {
      options.help = true;
    },
  },
  {
    flag: "--version",
    help: "print the version and exit",
    of: ["start"],
    set: (options) => {
      options.version = true;
    },
  },
] as const satisfies readonly Option[];

type Row = (typeof TABLE)[number];

/** The flags of a purpose. */
export type Flag<P extends Purpose> = FlagIf<Row, P>;

type FlagIf<R extends Option, P> = R extends { of: readonly Purpose[] }
  ? P extends R["of"][number]
    ? R["flag"]
    : never
  : R["flag"];

/** The flags that take a value. */
export type ValueFlag = Extract<Row, { value: string }>["flag"];

/** A decimal integer; NaN for anything else, such as "080" and "8e1". */
function decimal(text: string): number {
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : Number.NaN;
}

/**
 * Parses the arguments (without program names) and the environment. A flag overrides its variable; an empty variable is
 * unset. Only a start has a command.
 *
 * Throws PortshimError `bad-usage`.
 */
export function parse(argv: readonly string[], env: NodeJS.ProcessEnv, purpose: Purpose = "start"): Arguments {
  const options: Options = { ...DEFAULTS };
  const table = optionsOf(purpose);
  for (const option of table) {
    const { variable } = option;
    const value = variable && env[variable];
    if (value) fromVariable(option, variable, value, options);
  }

  const end = purpose === "start" ? argv.indexOf("--") : -1;
  const words = end < 0 ? argv : argv.slice(0, end);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const [flag = "", attached] = word.startsWith("--") ? splitOnce(word, "=") : [word, undefined];
    const option = table.find((candidate) => candidate.flag === (flag === "-h" ? "--help" : flag));
    if (!option) throw unknown(word, words.slice(at), end, purpose);
    if (option.value === undefined) {
      if (attached !== undefined) throw new PortshimError("bad-usage", `${flag} takes no value`);
      option.set(options, "1");
      continue;
    }
    const value = attached ?? words[++at];
    if (value === undefined) throw new PortshimError("bad-usage", `${flag} needs a value: ${flag}=${option.value}`);
    set(option, flag, value, options);
  }

  if (options.help || options.version || purpose !== "start") return { options, command: [] };
  const command = end < 0 ? [] : argv.slice(end + 1);
  if (end < 0 && !options.dryRun) {
    throw new PortshimError("bad-usage", "no command to start: write portshim [options] -- command [argument…]");
  }
  if (end >= 0 && !command[0]) {
    throw new PortshimError("bad-usage", "no command after --: write portshim [options] -- command [argument…]");
  }
  if (command[0]?.startsWith("-")) {
    throw new PortshimError("bad-usage", `the command after -- must not start with a dash: ${shown(command[0])}`);
  }
  return { options, command };
}

/** The options of a purpose, in the order of the help. */
export function optionsOf(purpose: Purpose): readonly Option[] {
  const table: readonly Option[] = TABLE;
  return table.filter(({ of = [purpose] }) => of.includes(purpose));
}

function fromVariable(option: Option, variable: string, value: string, options: Options): void {
  if (option.value !== undefined) set(option, variable, value, options);
  else if (value === "1") option.set(options, value);
  else if (value !== "0") throw new PortshimError("bad-usage", `${variable} must be 1 or 0, not ${shown(value)}`);
}

function set(option: Option, name: string, value: string, options: Options): void {
  accepting(name, value, () => option.set(options, value));
  if (option.flag === "--start") options.startBy = name;
}

function unknown(word: string, rest: readonly string[], end: number, purpose: Purpose): PortshimError {
  const called = purpose === "start" ? "portshim" : `portshim ${purpose}`;
  if (word.startsWith("-") && word !== "--") {
    return new PortshimError("bad-usage", `unknown option ${shown(word)}; see ${called} --help`);
  }
  if (purpose !== "start") return new PortshimError("bad-usage", `${purpose} takes options only, not ${shown(word)}`);
  if (end >= 0) return new PortshimError("bad-usage", `only options can precede --, not ${shown(word)}`);
  if (COMMAND_NAMES.some((name) => name === word)) {
    return new PortshimError("bad-usage", `${word} comes first, then its options: portshim ${word} [options]`);
  }
  const own = rest.length === 1 ? ` (portshim's own commands are ${enumerated(COMMAND_NAMES)})` : "";
  return new PortshimError("bad-usage", `put -- before the command: portshim -- ${printable(commandLine(rest))}${own}`);
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
