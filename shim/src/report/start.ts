import type { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { SETTING } from "../here/threshold.js";
import { isLocal } from "../host/bridge.js";
import type { Lifetime } from "../plan/lifetime.js";
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
export function aboutToRun(command: readonly string[], { bridge }: Facts, asks: boolean): string {
  return `Running as root on ${hostName(isLocal(bridge))}${asks ? " (you may be asked for your password)" : ""}:\n    ${commandLine(command)}`;
}

/** What would run as root, for --dry-run. */
export function wouldRun(command: readonly string[]): string {
  return `Would run as root:\n    ${commandLine(command)}`;
}

/** That it worked, until when, and how to make it permanent. */
export function success(facts: Facts): string {
  const can = `Done. Any user can now bind ports ${facts.wanted.value} and up`;
  // Loaded while the host works.
  const { thresholdLifetime, madePermanentBy, sourceOf }: typeof import("../plan/lifetime.js") =
    require("../plan/lifetime.js");
  const kept = madePermanentBy(facts);
  const lasting = LASTING[thresholdLifetime(facts)](hostName(isLocal(facts.bridge)), kept ? sourceOf(kept) : null);
  if (kept) return `${can}, ${lasting}.`;
  return `${can}, ${lasting}. To make it permanent:\n    ${require("./remedy.js").keep(facts)}`;
}

/** Who has the kernel, and reboots. */
export function hostName(isHere: boolean): string {
  return isHere ? "this machine" : "the host";
}

/** How long ports can be bound; `host` is hostName(), `by` what makes it permanent. */
export const LASTING: Readonly<Record<Exclude<Lifetime, "none">, (host: string, by: string | null) => string>> = {
  kept: (_host, by) => `also after a reboot (${by})`,
  restart: (host) => `until ${host} reboots`,
  container: () => "until this container stops",
  namespace: (host) => `until this container stops, or with ${host}'s network until ${host} reboots`,
  server: () => "by the server that portshim starts here",
};

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
