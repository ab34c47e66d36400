import { type Facts, gather } from "./facts.js";
import { PortshimError } from "./failure.js";
import type { Options } from "./options.js";
import { isSatisfied, type Plan, plan, type Step } from "./plan.js";
import * as report from "./report.js";
import { liveThreshold } from "./threshold.js";

/** How loud a message is: `detail` for --verbose, `info` silenced by --quiet, `notice` always said. */
export type Level = "detail" | "info" | "notice";

/** Takes one message, one or more lines without a final newline. */
export type Log = (level: Level, message: string) => void;

/** What was done: nothing, because it was satisfied already, or the name of the route that did it. */
export type Done = "already" | string;

/**
 * Makes sure that ports from the wanted threshold up may be bound in our network namespace.
 *
 * Throws PortshimError, and the reason of `signal` once that aborts.
 */
export async function ensure(options: Options, log: Log, signal?: AbortSignal): Promise<Done> {
  const facts = await gather(options.start, signal);
  signal?.throwIfAborted();
  const { satisfied, steps } = plan(facts, options.via);
  log("detail", report.facts(facts));
  for (const refused of report.refused(facts)) log("info", refused);
  if (satisfied) return "already";
  log("info", report.request(facts));

  const failures: PortshimError[] = [];
  for (const step of steps) {
    if (!step.usable) continue;
    // Somebody else may have lowered it while the host was asked, or a prompt was open.
    if (isSatisfied(liveThreshold(), facts.wanted.value)) return "already";
    try {
      await attempt(step, facts, options, log, signal);
      return step.route.name;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PortshimError)) throw error;
      failures.push(error);
    }
  }
  throw failure(facts, steps, failures);
}

async function attempt({ route }: Step, facts: Facts, options: Options, log: Log, signal?: AbortSignal): Promise<void> {
  const { value } = facts.wanted;
  const asRoot = route.asRoot(facts, value);
  if (asRoot) log("notice", report.aboutToRun(asRoot, facts));
  await route.attempt(facts, value, options.timeout * 1000, signal);
  const now = liveThreshold();
  if (!isSatisfied(now, value)) throw new PortshimError("unchanged", String(now));
  log("info", report.success(facts));
}

/** The failure to tell: the last attempt's, or where none could be made, why the route that reaches farthest cannot. */
function failure(facts: Facts, steps: readonly Step[], failures: readonly PortshimError[]): PortshimError {
  const last = failures.at(-1) ?? new PortshimError("no-way", steps.at(-1)?.reason);
  last.remedy = report.remedy(facts, steps);
  return last;
}

/** The plan for --dry-run: the facts and what follows from them. */
export async function preview(options: Options, signal?: AbortSignal): Promise<{ facts: Facts; plan: Plan }> {
  const facts = await gather(options.start, signal);
  signal?.throwIfAborted();
  return { facts, plan: plan(facts, options.via) };
}
