import type { Log } from "../contract.js";
import type { CommandName, Options } from "./arguments.js";

/** What a command of portshim's own is given. */
export interface Call {
  readonly options: Options;
  readonly env: NodeJS.ProcessEnv;
  /** A server can bind low ports as it is; see Task. */
  readonly canBind: boolean;
  /** Stops it: with the signal's reason. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Writes to stdout. */
  print(text: string): unknown;
}

/** `portshim NAME`, which lives in the file of that name. */
export interface Command {
  /** The text of `portshim NAME --help`: what it does, and its exit statuses. */
  readonly about: string;
  readonly statuses: string;
  /** Resolves to the exit status. Throws PortshimError. */
  run(call: Call): Promise<number>;
}

/** A command before it is called: a start of a server must not wait until all of them are loaded. */
export interface Entry {
  readonly name: CommandName;
  /** One line for --help. */
  readonly what: string;
  load(): Command;
}

/** All of them. */
export const COMMANDS: readonly Entry[] = [
  {
    name: "check",
    what: "say what portshim sees and would do, and change nothing",
    load: () => (require("./check.js") as typeof import("./check.js")).check,
  },
  {
    name: "persist",
    what: "have the host keep the threshold over its restarts, or no longer (--remove)",
    load: () => (require("./persist.js") as typeof import("./persist.js")).persist,
  },
];
