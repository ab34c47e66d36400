import type { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { SETTING } from "../here/threshold.js";
import { isLocal } from "../host/bridge.js";
import type { Plan, Step } from "../plan/plan.js";
import { commandLine, printable } from "../text.js";

/** What is wanted, by whom, and what the value is instead. */
export function unsatisfied({ wanted, threshold }: Facts): string {
  if (wanted.fromFile) {
    return `${printable(wanted.by ?? "")} sets ${SETTING}=${wanted.value}, but it was never applied: the value is ${threshold}`;
  }
  if (wanted.by === undefined) return `port ${wanted.value} needs privileges here (${SETTING} is ${threshold})`;
  return `${wanted.by} asks for ports ${wanted.value} and up, but those below ${threshold} need privileges here (${SETTING})`;
}

/** Assignments that the kernel would refuse, a sentence each; none if an option says what is wanted. */
export function invalid(facts: Facts): string[] {
  const { wanted } = facts;
  // Nor are they read then: these two are read when they are first looked at.
  if (wanted.by !== undefined && !wanted.fromFile) return [];
  return [...facts.declaredHere.invalid, ...(facts.declaredOnHost?.invalid ?? [])].map(
    ({ file, line, text }) =>
      `${printable(file)}:${line} sets ${SETTING} to "${printable(text)}", which is invalid: ignored`,
  );
}

/** What is about to run as root; shown even with --quiet. */
export function aboutToRun(command: readonly string[], { bridge }: Facts, asks = true): string {
  const where = isLocal(bridge) ? "on this machine" : "on the host";
  return `Running as root ${where}${asks ? " (you may be asked for your password)" : ""}:\n    ${commandLine(command)}`;
}

/** What would run as root, for --dry-run. */
export function wouldRun(command: readonly string[]): string {
  return `Would run as root:\n    ${commandLine(command)}`;
}

/** That it worked, until when, and how to make it permanent. */
export function success(facts: Facts): string {
  const can = `Done. Any user can now bind ports ${facts.wanted.value} and up`;
  // Loaded while the host works.
  const { madePermanentBy, sourceOf } = require("../plan/lifetime.js");
  const kept = madePermanentBy(facts);
  if (kept) return `${can}, also after a reboot (${sourceOf(kept)}).`;
  return `${can}, until ${end(facts)}. To make it permanent:\n    ${require("./remedy.js").keep(facts)}`;
}

function end({ bridge, network }: Facts): string {
  if (isLocal(bridge)) return "this machine reboots";
  return network === "hosts" ? "the host reboots" : "this container stops";
}

/** The commands that were tried on the host, as lines. */
export function tried(facts: Facts, steps: readonly Step[]): string[] {
  const { bridge, wanted } = facts;
  return steps.flatMap(({ route }) => {
    const command = route.asRoot(facts, wanted.value);
    if (!command) return [];
    const through = !bridge || isLocal(bridge) ? "" : ` through ${bridge.path}`;
    return [`Tried${through}:\n    ${commandLine(command)}`];
  });
}

/** How to keep a restart policy from asking again; empty on a terminal. */
export function restarts(failure: PortshimError): string[] {
  if (!failure.isRefusal || process.stderr.isTTY) return [];
  return ["In a systemd unit, RestartPreventExitStatus=NOPERM keeps a restart from asking again."];
}

/** What was found, for --verbose. */
export function summary(found: Facts): string {
  const { threshold, wanted, place, bridge, network } = found;
  const bridged = bridge === undefined ? "none found" : (bridge.path ?? "none needed");
  return [
    `place: ${place.what} (${place.evidence})`,
    `threshold: ${threshold ?? "this kernel has none"}, wanted: ${wanted.value} (${wanted.by ? printable(wanted.by) : "default"})`,
    `bridge: ${bridged}, network namespace: ${network}`,
  ].join("\n");
}

/** The plan as a person reads it, for --dry-run. */
export function dryRun(found: Facts, { satisfied, steps, others }: Plan): string {
  const lines = [summary(found), ...invalid(found)];
  if (satisfied) return [...lines, "Nothing to do."].join("\n");
  lines.push(unsatisfied(found));
  for (const { usable, route, reason } of [...steps, ...others])
    lines.push(`${usable ? "yes" : "no "}  ${route.name}: ${reason}`);
  const first = steps.find(({ usable }) => usable);
  if (!first) return [...lines, "There is no way from here.", require("./remedy.js").nextStep(found)].join("\n");
  const command = first.route.asRoot(found, found.wanted.value);
  lines.push(command ? wouldRun(command) : `Would use the route ${first.route.name}.`);
  return lines.join("\n");
}
