import type { Options } from "../attempt/options.js";
import type { Log } from "../contract.js";

/** What one of portshim's own commands is given. */
export interface Invocation {
  readonly options: Options;
  readonly env: NodeJS.ProcessEnv;
  /** A server would hold CAP_NET_BIND_SERVICE; see Task. */
  readonly canBind: boolean;
  /** Stops the command. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Writes to stdout. */
  print(text: string): unknown;
}

/** `portshim NAME`, in the file of that name. */
export interface Command {
  /** The text of `portshim NAME --help`: what it does, and its exit statuses. */
  readonly about: string;
  readonly statuses: string;
  /** Resolves to the exit status. Throws PortshimError. */
  run(invocation: Invocation): Promise<number>;
}
