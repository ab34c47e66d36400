import { ensure, preview, type Task } from "../attempt/ensure.js";
import type { Done, EnsureOptions } from "../contract.js";
import { accept } from "./accept.js";
import { exclusively } from "./lock.js";

export type { Done, EnsureOptions, Level, Log, RouteName } from "../contract.js";
export { type FailureCode, PortshimError } from "../failure.js";

/**
 * Makes sure that this process may bind ports from `options.start` up, asking the host where it has to: what a server
 * calls where listening was refused with EACCES. Resolves to what was done; nothing of it stays behind in the process.
 * Calls at the same time, in this process or another of the same network namespace, make one prompt.
 *
 * Rejects with a PortshimError where it cannot be done (`bad-usage` where the options are wrong), and with the reason
 * of `options.signal` once that aborts. It never throws at once, and never writes to the terminal. Of the PORTSHIM_
 * variables it reads PORTSHIM_BRIDGE alone.
 */
export async function ensurePorts(options: EnsureOptions = {}): Promise<Done> {
  const { signal, log, options: asked } = accept(options);
  signal?.throwIfAborted();
  const task: Task = {
    options: { ...asked, startBy: "This server" },
    drop: undefined,
    env: process.env,
    log,
    signal,
    // The server is this process: it can be asked.
    holdsCapability: true,
    takeTurns: (work, isDone) => exclusively(work, isDone, { signal, patience: (asked.timeout + 2) * 1000 }),
  };
  return ensure(task, await preview(task));
}
