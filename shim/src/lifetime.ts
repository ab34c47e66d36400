import type { Facts } from "./facts.js";
import type { Plan } from "./plan.js";
import type { Assignment } from "./sysctl.js";

/**
 * How long the wanted threshold holds, or would: `kept` over the host's restarts by a file; until the host's next
 * `restart`; as long as this `container` or this network `namespace` is there; only for a `server` that holds the
 * capability; or nothing does (`none`).
 */
export type Lifetime = "kept" | "restart" | "container" | "namespace" | "server" | "none";

/** What the host's own files ask for, where we see them. */
export function hostsRequest({ place, declaredHere, declaredOnHost }: Facts): Assignment | undefined {
  return (place.hostRoot === "/" ? declaredHere : declaredOnHost)?.declared;
}

/** How long the threshold stays where it is now, or where the plan would bring it. */
export function lifetime(facts: Facts, { satisfied, steps }: Plan): Lifetime {
  const next = steps.find(({ usable }) => usable)?.route;
  if (!satisfied && !next) return "none";
  if (satisfied ? facts.threshold === undefined : next?.leavesThreshold) return "server";
  if (facts.network === "own") return "container";
  if (facts.network === "unknown") return "namespace";
  const request = hostsRequest(facts);
  return request?.value !== undefined && request.value <= facts.wanted.value ? "kept" : "restart";
}
