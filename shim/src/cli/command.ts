import type { Options } from "../attempt/options.js";
import type { Log } from "../contract.js";
import type { Query } from "../facts/facts.js";

/** What a command of portshim's own is given. */
export interface Invocation extends Pick<Query, "env" | "holdsCapability"> {
  readonly options: Options;
  /** Stops it: with the signal's reason. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Writes to stdout. */
  print(text: string): void;
}

/** What each exit status means: by its number, or "128+N". */
export type Statuses = Readonly<Record<string, string>>;

/** `portshim NAME`, in the file of that name. */
export interface Command {
  /** The text of `portshim NAME --help`: what it does, and its exit statuses. */
  readonly about: string;
  readonly statuses: Statuses;
  /** Resolves to the exit status. Throws PortshimError. */
  run(invocation: Invocation): Promise<number>;
}
