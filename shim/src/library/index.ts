import { ensure } from "../attempt/ensure.js";
import type { Done, EnsureOptions } from "../contract.js";
import { gather } from "../facts/facts.js";
import { planFor } from "../plan/plan.js";
import { accept } from "./accept.js";
import { exclusively } from "./lock.js";

export type { Done, EnsureOptions, Level, Log, RouteName } from "../contract.js";
export { type FailureCode, PortshimError } from "../error.js";

/**
 * Makes sure that this process can bind ports from `options.start` up, and asks the host if it must: for a server that
 * got EACCES when it listened. Resolves to what was done; nothing of it stays behind in the process. Calls at the same
 * time, in this process or another in the same network namespace, share one prompt.
 *
 * Rejects with a PortshimError if it fails (`bad-usage` if the options are wrong), and with the reason of
 * `options.signal` if that aborts. It never throws synchronously, and never writes to the terminal. Of the PORTSHIM_
 * variables it reads only PORTSHIM_BRIDGE.
 */
export async function ensurePorts(options: EnsureOptions = {}): Promise<Done> {
  const { signal, log, options: asked } = accept(options);
  signal?.throwIfAborted();
  const facts = await gather({
    start: asked.start,
    startBy: "This server",
    env: process.env,
    signal,
    // The server is this process: it can be asked.
    holdsCapability: true,
  });
  return ensure(facts, planFor(facts, asked.via), {
    timeout: asked.timeout,
    log,
    signal,
    takeTurns: (work, isDone) => exclusively(work, isDone, { signal, patience: (asked.timeout + 2) * 1000 }),
  });
}
