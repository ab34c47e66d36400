import type { Done, Log } from "../contract.js";
import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { isSatisfied, liveThreshold } from "../here/threshold.js";
import { hostOf } from "../host/host.js";
import type { Plan, Step } from "../plan/plan.js";
import { aboutToRun, invalid, success, summary, tried, unsatisfied } from "../report/start.js";

/** How long the attempts can take, who is told of them, and what stops them. */
export interface Terms {
  /** Seconds that a password prompt can stay open, 1–86400. */
  readonly timeout: number;
  readonly log: Log;
  /** Stops it: with the signal's reason. */
  readonly signal: AbortSignal | undefined;
  /** Takes turns with others that would ask somebody; default: our launcher has done so. */
  readonly takeTurns?: TakeTurns;
}

/** Does `work` when it is our turn; what `done` gives then, if anything, makes it unnecessary. */
export type TakeTurns = <T>(work: () => Promise<T>, done: () => T | undefined) => Promise<T>;

/**
 * Makes sure that ports from the wanted threshold up can be bound in our network namespace.
 *
 * Throws PortshimError, and the signal's reason once that aborts.
 */
export async function ensure(facts: Facts, plan: Plan, terms: Terms): Promise<Done> {
  try {
    return await tryAll(facts, plan, terms);
  } finally {
    await hostOf(facts)?.shell?.close();
  }
}

async function tryAll(facts: Facts, plan: Plan, terms: Terms): Promise<Done> {
  const { log, signal } = terms;
  log("detail", summary(facts));
  for (const line of invalid(facts)) log("info", line);
  if (plan.satisfied) return "already";
  if (facts.threshold === undefined && !facts.mayBind)
    throw new PortshimError("no-setting", String(facts.wanted.value));

  const usable = plan.steps.filter((step) => step.usable);
  if (!usable[0]?.route.leavesThreshold) log("info", unsatisfied(facts));
  let last: PortshimError | undefined;
  for (const step of usable) {
    try {
      return await attempt(step, facts, terms);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PortshimError)) throw error;
      last = error;
    }
  }
  last ??= new PortshimError("no-way", plan.steps.at(-1)?.reason);
  last.remedy = [...tried(facts, usable), require("../report/remedy.js").nextStep(facts)].join("\n");
  throw last;
}

function attempt(step: Step, facts: Facts, terms: Terms): Promise<Done> {
  const work = () => carryOut(step, facts, terms);
  const isDone = () => (isSatisfied(liveThreshold(), facts.wanted.value) ? ("already" as const) : undefined);
  return step.route.asksSomebody && terms.takeTurns ? terms.takeTurns(work, isDone) : work();
}

async function carryOut({ route }: Step, facts: Facts, { timeout, log, signal }: Terms): Promise<Done> {
  const { value } = facts.wanted;
  // Somebody else can have lowered it while the host was asked, or while another's prompt was open.
  if (isSatisfied(liveThreshold(), value)) return "already";
  const asRoot = route.asRoot(facts, value);
  if (asRoot) log("notice", aboutToRun(asRoot, facts, route.asksSomebody === true));
  const attempting = route.attempt(facts, value, timeout * 1000, signal);
  // Composed while the host works.
  const done = route.leavesThreshold ? undefined : success(facts);
  await attempting;
  signal?.throwIfAborted();
  if (done === undefined) return route.name;
  const now = liveThreshold();
  if (!isSatisfied(now, value)) throw new PortshimError("unchanged", String(now ?? "unreadable"));
  log("info", done);
  return route.name;
}
