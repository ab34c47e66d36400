import { check } from "./check.js";
import type { Log } from "./contract.js";
import type { CommandName, Options } from "./options.js";
import { persist } from "./persist.js";

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
  readonly name: CommandName;
  /** One line for --help. */
  readonly what: string;
  /** The text of `portshim NAME --help`: what it does, and its exit statuses. */
  readonly about: string;
  readonly statuses: string;
  /** Resolves to the exit status. Throws PortshimError. */
  run(call: Call): Promise<number>;
}

/** All of them. */
export const COMMANDS: readonly Command[] = [check, persist];
