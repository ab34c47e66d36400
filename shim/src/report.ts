import type { Facts } from "./facts.js";
import type { Plan, Step } from "./plan.js";
import { byHand } from "./route.js";
import { commandLine, printable } from "./text.js";
import { NAME } from "./threshold.js";

/** Who asked for which value, and that it does not hold. */
export function request({ wanted, threshold }: Facts): string {
  if (wanted.fromFile) {
    return `${printable(wanted.by ?? "")} asks for ${NAME} = ${wanted.value}, but it was never applied here: it is ${threshold}.`;
  }
  const asked = wanted.by
    ? `${wanted.by} asks for ports from ${wanted.value} up`
    : `Nothing asks for another port, so ${wanted.value} counts`;
  return `${asked}, but here ordinary users may bind only those from ${threshold} up (${NAME}).`;
}

/** Assignments that the kernel would refuse, a sentence each. */
export function refused({ declaredHere, declaredOnHost }: Facts): string[] {
  return [...declaredHere.refused, ...(declaredOnHost?.refused ?? [])].map(
    ({ file, line, text }) =>
      `${printable(file)}:${line} asks for ${NAME} = "${printable(text)}", which the kernel would refuse; it counts as not asked for.`,
  );
}

/** What is about to run as root; said even with --quiet. */
export function aboutToRun(command: readonly string[], { place }: Facts): string {
  const where = place.isHost ? "on this machine" : "on the host";
  return `About to run as root ${where} (you may be asked for a password):\n    ${commandLine(command)}`;
}

/** That it worked, until when, and how to keep it. */
export function success(facts: Facts): string {
  const { value } = facts.wanted;
  return `Done: ports from ${value} up may be bound until ${end(facts)}. To keep it:\n    ${keep(facts)}`;
}

function end({ place, network }: Facts): string {
  if (place.isHost) return "this machine restarts";
  return network === "hosts" ? "the host restarts" : "this container stops";
}

function keep({ place, network, wanted }: Facts): string {
  const line = `${NAME}=${wanted.value}`;
  if (!place.isHost && network !== "hosts") return `podman run --sysctl ${line} …`;
  const command = `echo ${line} | sudo tee /etc/sysctl.d/90-portshim.conf`;
  return place.isHost ? command : `${command}    (on the host)`;
}

/** What was tried, and what the person can do where portshim could not. */
export function remedy(facts: Facts, steps: readonly Step[]): string {
  return [...steps.filter(({ usable }) => usable).flatMap((step) => tried(step, facts)), nextStep(facts)].join("\n");
}

function tried({ route }: Step, facts: Facts): string[] {
  const command = route.asRoot(facts, facts.wanted.value);
  return command ? [`Tried${through(facts)}:\n    ${commandLine(command)}`] : [];
}

function through({ bridge }: Facts): string {
  return bridge?.path === undefined ? "" : ` through ${bridge.path}`;
}

function nextStep({ place, network, wanted }: Facts): string {
  const option = `--sysctl ${NAME}=${wanted.value}`;
  if (network === "own") return `Start the container with this option:\n    ${option}`;
  if (place.isHost) return `Run this, then start again:\n    ${byHand(wanted.value)}`;
  const onHost = `Run this on the host, then start again:\n    ${byHand(wanted.value)}`;
  if (network === "hosts" || place.sharesNetwork) return onHost;
  return `If the container has its own network, start it with this option:\n    ${option}\nIf not: ${onHost.replace("Run", "run")}`;
}

/** What was found, for --verbose. */
export function facts(found: Facts): string {
  const { threshold, wanted, place, bridge, network } = found;
  return [
    `place: ${place.what} (${place.evidence})`,
    `threshold: ${threshold ?? "this kernel has none"}, wanted: ${wanted.value} (${wanted.by ? printable(wanted.by) : "default"})`,
    `bridge: ${bridge ? (bridge.path ?? "none needed") : "none found"}, network namespace: ${network}`,
  ].join("\n");
}

/** The plan as a person reads it, for --dry-run. */
export function dryRun(found: Facts, { satisfied, steps }: Plan): string {
  const lines = [facts(found), ...refused(found)];
  if (satisfied) return [...lines, "Nothing has to be done."].join("\n");
  lines.push(request(found));
  const first = steps.find(({ usable }) => usable);
  for (const step of steps) {
    lines.push(`${step.usable ? "yes" : "no "}  ${step.route.name}: ${step.reason}`);
  }
  if (!first) return [...lines, "No route can be taken.", nextStep(found)].join("\n");
  const command = first.route.asRoot(found, found.wanted.value);
  lines.push(command ? `Would run as root:\n    ${commandLine(command)}` : `Would take the route ${first.route.name}.`);
  return lines.join("\n");
}
