import type { Options } from "../attempt/options.js";
import type { Log } from "../contract.js";
import type { Request } from "../facts/facts.js";

/** What a command of portshim's own is given. */
export interface Call extends Pick<Request, "env" | "holdsCapability"> {
  readonly options: Options;
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
