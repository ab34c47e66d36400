import type { Options } from "../attempt/options.js";
import type { Log } from "../contract.js";

/** What a command of portshim's own is given. */
export interface Invocation {
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
  run(invocation: Invocation): Promise<number>;
}
