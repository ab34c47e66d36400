import type { Facts } from "../facts/facts.js";
import { takePort } from "../here/bind.js";
import type { Network } from "../here/place.js";
import { type Host, hostOf, type NoHost } from "../host/host.js";
import { type Lifetime, lifetime, madePermanentBy, sourceOf } from "../plan/lifetime.js";
import type { Plan, Step } from "../plan/plan.js";
import { keep, nextStep } from "../report/remedy.js";
import { type Firewall, findFirewall } from "./firewall.js";
import { type Holder, holders } from "./holder.js";
import { VERSION } from "./version.js";

/** The version of `portshim check --json`; it is raised if a field is removed or changes its meaning. */
const SCHEMA = 1;

/** What `portshim check` found, as --json prints it: docs/check.md and docs/check.schema.json. */
export interface Findings {
  readonly schema: typeof SCHEMA;
  readonly portshim: string;
  /** Nothing to do; something to do, and a way; or no way from here. */
  readonly verdict: "nothing-to-do" | "possible" | "impossible";
  /** The threshold in force, 0–65535; null if this kernel has no such setting. */
  readonly threshold: number | null;
  /** The host's, which decides what can be published without root, as ours decides what can be bound; null: unknown. */
  readonly hostThreshold: number | null;
  readonly wanted: {
    readonly value: number;
    readonly by: string | null;
    readonly fromFile: boolean;
  };
  readonly place: { readonly name: string; readonly evidence: string };
  readonly network: Network;
  /** The way to the host; null if there is none. Its path is null if commands run without a bridge. */
  readonly bridge: { readonly name: string; readonly path: string | null } | null;
  /** Why the host does not answer; null if it does, or was not asked. */
  readonly hostProblem: string | null;
  /** The assignments that decide, and those that are invalid (value null). */
  readonly requests: readonly Declaration[];
  readonly routes: readonly { readonly name: string; readonly usable: boolean; readonly reason: string }[];
  /** The route that would be taken, and what would run as root on the host; null: none, nothing. */
  readonly next: { readonly route: string; readonly command: readonly string[] | null } | null;
  /** What a person can do if there is no way from here, in lines; null if there is one. */
  readonly remedy: string | null;
  readonly lasts: Lifetime;
  /** What makes it permanent, if `lasts` is `kept`: a file and line, or "the kernel's default". */
  readonly keptBy: string | null;
  /** How to make it last longer, a line for a person to paste; null if it is permanent, or cannot be. */
  readonly keep: string | null;
  /** With --bind. */
  readonly ports: readonly Port[] | null;
  readonly firewall: Pick<Firewall, "name" | "remedy"> | null;
}

interface Declaration {
  readonly where: "here" | "host";
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly value: number | null;
}

interface Port {
  readonly port: number;
  /** The error of bind(2), by its name in errno(3); null: none. */
  readonly error: string | null;
  /** Who listens on it, as far as we can see; null: nobody. */
  readonly holders: readonly Holder[] | null;
}

/** The web's ports; a server wants those that are not below its first. */
const WEB = [80, 443];

/** The ports that --bind tries; `first` is the first wanted one. */
export function wantedPorts(first: number): number[] {
  return [...new Set([first, ...WEB])].filter((port) => port >= Math.max(first, 1)).sort((a, b) => a - b);
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
