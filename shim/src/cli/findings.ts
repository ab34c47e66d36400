import type { Facts } from "../facts/facts.js";
import { takePort } from "../here/bind.js";
import { holders } from "../here/holder.js";
import { WEB } from "../here/threshold.js";
import { findFirewall } from "../host/firewall.js";
import { type Host, hostOf, type NoHost } from "../host/host.js";
import { lifetime, madePermanentBy, sourceOf } from "../plan/lifetime.js";
import type { Plan, Step } from "../plan/plan.js";
import type { Declaration, Findings, Port } from "../report/check.js";
import { keep, nextStep } from "../report/remedy.js";
import { VERSION } from "./version.js";

/** The version of `portshim check --json`; it is raised if a field is removed or changes its meaning. */
const SCHEMA = 1;

/** The web's ports; a server wants those that are not below its first. */
const PORTS = [WEB, 443];

/** The ports that --bind tries; `first` is the first wanted one. */
export function wantedPorts(first: number): number[] {
  return [...new Set([first, ...PORTS])].filter((port) => port >= Math.max(first, 1)).sort((a, b) => a - b);
}

/** Collects what check prints; `bind`: takes the wanted ports for a moment. */
export async function find(facts: Facts, plan: Plan, bind: boolean): Promise<Findings> {
  const { threshold, wanted, place, network, bridge } = facts;
  const next = plan.satisfied ? undefined : plan.steps.find(({ usable }) => usable);
  const verdict = plan.satisfied ? "nothing-to-do" : next ? "possible" : "impossible";
  const lasts = lifetime(facts, plan);
  const permanent = lasts === "kept" ? madePermanentBy(facts) : undefined;
  const [port = wanted.value] = wantedPorts(wanted.value);
  const firewall = await findFirewall(facts, [port]);
  return {
    schema: SCHEMA,
    portshim: VERSION,
    verdict,
    threshold: threshold ?? null,
    hostThreshold: (network === "hosts" ? threshold : hostOf(facts)?.threshold) ?? null,
    wanted: { value: wanted.value, by: wanted.by ?? null, fromFile: wanted.fromFile },
    place: { name: place.name, evidence: place.evidence },
    network,
    bridge: bridge ? { name: bridge.name, path: bridge.path ?? null } : null,
    hostProblem: problemOf(facts.host),
    requests: [...declarations("here", facts.declaredHere), ...declarations("host", facts.declaredOnHost)],
    routes: [...plan.steps, ...plan.others].map(routeOf),
    next: next ? { route: next.route.name, command: next.route.asRoot(facts, wanted.value) ?? null } : null,
    remedy: verdict === "impossible" ? nextStep(facts) : null,
    lasts,
    keptBy: permanent ? sourceOf(permanent) : null,
    keep: lasts === "restart" || lasts === "container" ? keep(facts) : null,
    ports: bind ? await tryPorts(wantedPorts(wanted.value)) : null,
    firewall: firewall ? { name: firewall.name, remedy: firewall.remedy } : null,
  };
}

function declarations(where: Declaration["where"], resolution: Facts["declaredOnHost"]): Declaration[] {
  const found = [resolution?.declared, ...(resolution?.invalid ?? [])].filter((one) => one !== undefined);
  return found.map(({ file, line, text, value }) => ({ where, file, line, text, value: value ?? null }));
}

function problemOf(host: Host | NoHost | undefined): string | null {
  return host && "problem" in host ? host.problem : null;
}

function routeOf({ route, usable, reason }: Step): Findings["routes"][number] {
  return { name: route.name, usable, reason };
}

async function tryPorts(ports: readonly number[]): Promise<Port[]> {
  const tried: Port[] = [];
  for (const port of ports) {
    const error = await takePort(port);
    tried.push({ port, error: error || null, holders: error ? (holders(port) ?? null) : null });
  }
  return tried;
}
