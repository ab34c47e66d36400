import type { Done, Log } from "../contract.js";
import { type Facts, gather, type Query } from "../facts/facts.js";
import { PortshimError } from "../failure.js";
import { isSatisfied, liveThreshold } from "../here/threshold.js";
import { hostOf } from "../host/host.js";
import type { Drop } from "../launcher/drop.js";
import type { Plan, Step } from "../plan/plan.js";
import type { Options } from "./options.js";

/** What is to be ensured, for whom, and who is told of it. */
export interface Task extends Omit<Query, "start" | "asker"> {
  readonly options: Options;
  readonly log: Log;
  /** Takes turns with others that would ask somebody; default: our launcher has done so. */
  readonly takeTurns?: TakeTurns;
}

/** Does `work` when it is our turn; what `done` gives then, if anything, makes it unnecessary. */
export type TakeTurns = <T>(work: () => Promise<T>, done: () => T | undefined) => Promise<T>;

/** How the server becomes the user of --user, if there is one. Throws PortshimError `no-user` or `no-drop`. */
export function dropFor({ user }: Options): Drop | undefined {
  return user === undefined ? undefined : require("../launcher/drop.js").dropTo(user);
}

/** What is needed once the facts are known. */
function later() {
  return {
    plan: require("../plan/plan.js").plan,
    report: require("../report/report.js"),
  };
}

/** The plan for a task, and the facts it is made from. */
export interface Found {
  readonly facts: Facts;
  readonly plan: Plan;
}

/** Finds what --dry-run prints and ensure() carries out. */
export async function preview(task: Task): Promise<Found> {
  const { options, signal } = task;
  const gathering = gather({ ...task, start: options.start, asker: options.startBy });
  // By now the host is at work on its answer, which takes as long.
  const { plan } = later();
  const facts = await gathering;
  signal?.throwIfAborted();
  return { facts, plan: plan(facts, options.via) };
}

/**
 * Makes sure that ports from the wanted threshold up can be bound in our network namespace.
 *
 * Throws PortshimError, and the reason of the task's signal once that aborts.
 */
export async function ensure(task: Task, found: Found): Promise<Done> {
  try {
    return await tryAll(task, found);
  } finally {
    await hostOf(found.facts)?.shell?.close();
  }
}

async function tryAll(task: Task, { facts, plan }: Found): Promise<Done> {
  const { log, signal } = task;
  const { report } = later();
  log("detail", report.summary(facts));
  for (const line of report.invalid(facts)) log("info", line);
  if (plan.satisfied) return "already";
  if (facts.threshold === undefined && !facts.mayBind)
    throw new PortshimError("no-setting", String(facts.wanted.value));

  const usable = plan.steps.filter((step) => step.usable);
  if (!usable[0]?.route.leavesThreshold) log("info", report.unsatisfied(facts));
  let last = new PortshimError("no-way", plan.steps.at(-1)?.reason);
  for (const step of usable) {
    try {
      return await attempt(step, facts, task);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PortshimError)) throw error;
      last = error;
    }
  }
  last.remedy = [...report.tried(facts, usable), require("../report/remedy.js").nextStep(facts)].join("\n");
  throw last;
}

function attempt(step: Step, facts: Facts, task: Task): Promise<Done> {
  const work = () => carryOut(step, facts, task);
  const isDone = () => (isSatisfied(liveThreshold(), facts.wanted.value) ? ("already" as const) : undefined);
  return step.route.asksSomebody && task.takeTurns ? task.takeTurns(work, isDone) : work();
}

async function carryOut({ route }: Step, facts: Facts, { options, log, signal }: Task): Promise<Done> {
  const { value } = facts.wanted;
  const { report } = later();
  // Somebody else can have lowered it while the host was asked, or while another's prompt was open.
  if (isSatisfied(liveThreshold(), value)) return "already";
  const asRoot = route.asRoot(facts, value);
  if (asRoot) log("notice", report.aboutToRun(asRoot, facts));
  const attempting = route.attempt(facts, value, options.timeout * 1000, signal);
  // Composed while the host works.
  const success = route.leavesThreshold ? undefined : report.success(facts);
  await attempting;
  signal?.throwIfAborted();
  if (success === undefined) return route.name;
  const now = liveThreshold();
  if (!isSatisfied(now, value)) throw new PortshimError("unchanged", String(now));
  log("info", success);
  return route.name;
}
