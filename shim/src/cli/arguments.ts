import type { EnsureOptions, Log, RouteName } from "../contract.js";
import { PortshimError } from "../failure.js";
import { KERNEL_DEFAULT } from "../here/threshold.js";
import { commandLine, printable } from "../text.js";

/** What the person asked for, from flags and environment, or a program from the library. */
export interface Options {
  /** The threshold asked for, 0–1024; undefined: what sysctl.d declares decides. */
  start: number | undefined;
  /** What asked for it, for a sentence: "--start", "PORTSHIM_START", or a program. */
  startBy: string | undefined;
  /** Names of the routes that may be tried, in this order; undefined: all, least intrusive first. */
  via: readonly string[] | undefined;
  /** USER[:GROUP] that the server is to run as; undefined: as whoever started us. */
  user: string | undefined;
  /** Seconds a password prompt may stay open, 1–86400. */
  timeout: number;
  dryRun: boolean;
  quiet: boolean;
  verbose: boolean;
  /** `check` prints JSON. */
  json: boolean;
  /** `check` binds the wanted ports for a moment. */
  bind: boolean;
  /** `persist` takes its file away again. */
  remove: boolean;
  help: boolean;
  version: boolean;
}

/** A command line taken apart. */
export interface Invocation {
  readonly options: Options;
  /** What follows `--`; empty only where nothing is to be started. */
  readonly command: readonly string[];
}

/** What holds where nothing was asked for. */
export const DEFAULTS: Options = {
  start: undefined,
  startBy: undefined,
  via: undefined,
  user: undefined,
  timeout: 120,
  dryRun: false,
  quiet: false,
  verbose: false,
  json: false,
  bind: false,
  remove: false,
  help: false,
  version: false,
};

/** Longest time a prompt may stay open, in seconds: a day. */
const LONGEST_TIMEOUT = 86400;

/** What --via can name, in the order in which they are tried; route.ts has the routes. */
export const ROUTE_NAMES: readonly RouteName[] = ["write", "capability", "nsenter", "pkexec", "run0", "sudo"];

/** portshim's own commands; command.ts has them. */
export const COMMAND_NAMES = ["check", "persist"] as const;

/** The name of a command of portshim's own. */
export type CommandName = (typeof COMMAND_NAMES)[number];

/** What portshim is called for: to start a command, or a command of its own. */
export type Purpose = "start" | CommandName;

/** What may be asked for, on the command line or by a program; throws a sentence's middle where it is no good. */
const ACCEPTED = {
  start: (value: unknown) => integer(value, 0, KERNEL_DEFAULT),
  timeout: (value: unknown) => integer(value, 1, LONGEST_TIMEOUT),
  via: (value: unknown, routes: readonly string[]): readonly string[] => {
    const names: unknown[] = Array.isArray(value) ? [...value] : [];
    const isRoute = (name: unknown): name is string => routes.some((route) => route === name);
    if (names.length === 0 || !names.every(isRoute)) throw new Error(`one or more of ${routes.join(", ")}`);
    return names;
  },
};

interface Option {
  readonly flag: string;
  /** The same as an environment variable, for an ENTRYPOINT that is fixed. */
  readonly variable?: string;
  /** The value's name in the help; without one the option is a switch. */
  readonly value?: string;
  readonly help: string;
  /** What it is an option of; undefined: of everything. */
  readonly of?: readonly Purpose[];
  /** Puts the option's value (a switch: "1") into `options`; throws a sentence's middle where it is no good. */
  set(options: Options, value: string, routes: readonly string[]): void;
}

const TABLE: readonly Option[] = [
  {
    flag: "--start",
    variable: "PORTSHIM_START",
    value: "N",
    help: "first port the server needs, 0-1024 (default: what sysctl.d asks for, else 80)",
    set: (options, value) => {
      options.start = ACCEPTED.start(decimal(value));
    },
  },
  {
    flag: "--via",
    variable: "PORTSHIM_VIA",
    value: "ROUTE,…",
    help: "try only these routes, in this order",
    set: (options, value, routes) => {
      options.via = ACCEPTED.via(value.split(","), routes);
    },
  },
  {
    flag: "--user",
    variable: "PORTSHIM_USER",
    value: "USER[:GROUP]",
    help: "started as root: become this user, keeping no other capability than the port's",
    of: ["start", "check"],
    set: (options, value) => {
      if (value === "") throw new Error("a user's name or number");
      options.user = value;
    },
  },
  {
    flag: "--optional",
    variable: "PORTSHIM_OPTIONAL",
    help: "if it fails, warn and start the server all the same",
    of: ["start"],
    // The launcher does that.
    set: () => {},
  },
  {
    flag: "--timeout",
    variable: "PORTSHIM_TIMEOUT",
    value: "SECONDS",
    help: "how long a password prompt may stay open (default: 120)",
    of: ["start", "persist"],
    set: (options, value) => {
      options.timeout = ACCEPTED.timeout(decimal(value));
    },
  },
  {
    flag: "--dry-run",
    variable: "PORTSHIM_DRY_RUN",
    help: "print what would be done, change nothing, start nothing",
    of: ["start", "persist"],
    set: (options) => {
      options.dryRun = true;
    },
  },
  {
    flag: "--quiet",
    variable: "PORTSHIM_QUIET",
    help: "say only what is about to run as root, and failures",
    of: ["start", "persist"],
    set: (options) => {
      options.quiet = true;
    },
  },
  {
    flag: "--verbose",
    variable: "PORTSHIM_VERBOSE",
    help: "say what was found and decided",
    of: ["start", "persist"],
    set: (options) => {
      options.verbose = true;
    },
  },
  {
    flag: "--json",
    help: "print it for programs",
    of: ["check"],
    set: (options) => {
      options.json = true;
    },
  },
  {
    flag: "--bind",
    help: "bind the wanted ports for a moment, and say who holds those that fail",
    of: ["check"],
    set: (options) => {
      options.bind = true;
    },
  },
  {
    flag: "--remove",
    help: "take the file away, and put back what the rest of the host's configuration says",
    of: ["persist"],
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
];

/** An integer as people write one; NaN for what is none, such as "080" and "8e1". */
function decimal(text: string): number {
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : Number.NaN;
}

function integer(value: unknown, low: number, high: number): number {
  const isGood = typeof value === "number" && Number.isInteger(value) && value >= low && value <= high;
  if (!isGood) throw new Error(`an integer from ${low} to ${high}`);
  return value;
}

/**
 * Takes `argv` (without program names) and the environment apart; a flag wins over its variable, an empty variable
 * counts as unset. `routes` are the names that --via may hold. For another purpose than `start` there is no command.
 *
 * Throws PortshimError `bad-usage`.
 */
export function parse(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  routes: readonly string[],
  purpose: Purpose = "start",
): Invocation {
  const options: Options = { ...DEFAULTS };
  const table = optionsOf(purpose);
  for (const option of table) {
    const value = option.variable === undefined ? undefined : env[option.variable];
    if (value) fromVariable(option, value, options, routes);
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
      option.set(options, "1", routes);
      continue;
    }
    const value = attached ?? words[++at];
    if (value === undefined) throw new PortshimError("bad-usage", `${flag} needs a value: ${flag}=${option.value}`);
    set(option, flag, value, options, routes);
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

function optionsOf(purpose: Purpose): readonly Option[] {
  return TABLE.filter(({ of = [purpose] }) => of.includes(purpose));
}

function fromVariable(option: Option, value: string, options: Options, routes: readonly string[]): void {
  const variable = option.variable as string;
  if (option.value !== undefined) set(option, variable, value, options, routes);
  else if (value === "1") option.set(options, value, routes);
  else if (value !== "0") throw new PortshimError("bad-usage", `${variable} must be 1 or 0, not ${shown(value)}`);
}

function set(option: Option, name: string, value: string, options: Options, routes: readonly string[]): void {
  accepting(name, value, () => option.set(options, value, routes));
  if (option.flag === "--start") options.startBy = name;
}

/** Turns a sentence's middle that `action` throws into the failure. */
function accepting<T>(name: string, value: unknown, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new PortshimError(
      "bad-usage",
      `${name} must be ${printable((error as Error).message)}, not ${described(value)}`,
    );
  }
}

/** What a program asked for, checked. */
export interface Accepted {
  readonly options: Options;
  readonly signal: AbortSignal | undefined;
  /** Says nothing where there is no logger. */
  readonly log: Log;
}

/**
 * Checks what a program gave for options, which may be anything; `routes` as for parse().
 *
 * Throws PortshimError `bad-usage`.
 */
export function accept(given: EnsureOptions, routes: readonly string[]): Accepted {
  accepting("options", given, () => {
    if (typeof given !== "object" || given === null) throw new Error("an object");
  });
  // Each is read once, and not again after it was checked.
  const { start, via, timeout = DEFAULTS.timeout, signal, logger = () => {}, ...others } = given;
  const [stray] = Object.keys(others);
  if (stray !== undefined) {
    throw new PortshimError(
      "bad-usage",
      `unknown option ${shown(stray)}; there are start, via, timeout, signal, logger`,
    );
  }
  const options: Options = {
    ...DEFAULTS,
    start: start === undefined ? start : accepting("start", start, () => ACCEPTED.start(start)),
    via: via === undefined ? via : accepting("via", via, () => ACCEPTED.via(via, routes)),
    timeout: accepting("timeout", timeout, () => ACCEPTED.timeout(timeout)),
  };
  accepting("signal", signal, () => {
    if (signal !== undefined && !isAbortSignal(signal)) throw new Error("an AbortSignal");
  });
  accepting("logger", logger, () => {
    if (typeof logger !== "function") throw new Error("a function");
  });
  return { options, signal, log: logger };
}

/** By its shape: one of another realm (a test runner's, a polyfill's) is none of ours. */
function isAbortSignal(value: Partial<AbortSignal> | null): boolean {
  if (typeof value !== "object" || value === null || typeof value.aborted !== "boolean") return false;
  const { addEventListener, removeEventListener, throwIfAborted } = value;
  return [addEventListener, removeEventListener, throwIfAborted].every((method) => typeof method === "function");
}

function unknown(word: string, rest: readonly string[], end: number, purpose: Purpose): PortshimError {
  const called = purpose === "start" ? "portshim" : `portshim ${purpose}`;
  if (word.startsWith("-") && word !== "--") {
    return new PortshimError("bad-usage", `unknown option ${shown(word)}; see ${called} --help`);
  }
  if (purpose !== "start") return new PortshimError("bad-usage", `${purpose} takes options only, not ${shown(word)}`);
  if (end >= 0) return new PortshimError("bad-usage", `only options may stand before --, not ${shown(word)}`);
  if (COMMAND_NAMES.some((name) => name === word)) {
    return new PortshimError("bad-usage", `${word} comes first, and its options behind it: portshim ${word} [options]`);
  }
  const own = rest.length === 1 ? ` (portshim's own commands are ${COMMAND_NAMES.join(" and ")})` : "";
  return new PortshimError("bad-usage", `put -- before the command: portshim -- ${printable(commandLine(rest))}${own}`);
}

function shown(word: string): string {
  return `"${printable(word)}"`;
}

/** Any value in a sentence; of a list the elements, of an object no more than that it is one. */
function described(value: unknown): string {
  if (Array.isArray(value)) return printable(`[${value.slice(0, 10).map(plainly).join(", ")}]`);
  return plainly(value);
}

function plainly(value: unknown): string {
  if (typeof value === "string") return shown(value);
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return printable(String(value));
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** A line of --help: what is written, and what it does. */
interface Entry {
  readonly name: string;
  readonly what: string;
}

/** The text of `portshim --help`; lists the commands and the routes. */
export function help(commands: readonly Entry[], routes: readonly Entry[]): string {
  return `Usage: portshim [options] -- command [argument…]
       portshim COMMAND [options]

Makes sure that ports from 80 up may be bound by an ordinary user (or from the port that sysctl.d asks for), asking the
host where it has to, then becomes the command.

Options:
${optionRows("start")}

Commands (portshim COMMAND --help tells their options):
${rows(commands)}

Routes:
${rows(routes)}

Exit status: the command's own; before that 64 (wrong options, or no such user), 69 (no way from here, the host failed,
or no Node.js), 70 (a bug in portshim), 77 (permission denied), 126 (the command cannot be executed), 127 (there is no
such command), 128+N (stopped by signal N).
`;
}

/** The text of `portshim COMMAND --help`: `about`, one or more sentences, and the exit statuses it knows. */
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
