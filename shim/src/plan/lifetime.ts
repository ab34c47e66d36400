import type { Facts } from "../facts/facts.js";
import { KERNEL_DEFAULT } from "../here/threshold.js";
import type { Assignment, Resolution } from "../sysctl/resolve.js";
import { printable } from "../text.js";
import type { Plan } from "./plan.js";

/**
 * How long the wanted threshold lasts, or would: `kept` over reboots by a file on the host; until the host's next
 * `restart`; as long as this `container` or this network `namespace` exists; only for a `server` that holds the
 * capability; or not at all (`none`).
 */
export type Lifetime = "kept" | "restart" | "container" | "namespace" | "server" | "none";

/** The threshold that the host boots with, and the assignment that sets it; undefined: it is the kernel's default. */
interface BootThreshold {
  readonly value: number;
  readonly by: Assignment | undefined;
}

/** The threshold that a host with these files boots with. */
export function bootThreshold({ declared }: Resolution): BootThreshold {
  return { value: declared?.value ?? KERNEL_DEFAULT, by: declared };
}

/** What makes the wanted threshold permanent on the host; undefined: nothing that we see. */
export function madePermanentBy({ afterRestart, wanted }: Facts): BootThreshold | undefined {
  if (!afterRestart) return undefined;
  const start = bootThreshold(afterRestart);
  return start.value <= wanted.value ? start : undefined;
}

/** What sets it, for messages. */
export function sourceOf({ by }: BootThreshold): string {
  return by ? `${printable(by.file)}:${by.line}` : "the kernel's default";
}

/** How long the threshold stays as low as it is now, or as the plan would make it. */
export function lifetime(facts: Facts, { satisfied, steps }: Plan): Lifetime {
  const next = steps.find(({ usable }) => usable)?.route;
  if (!satisfied && !next) return "none";
  if (satisfied ? facts.threshold === undefined : next?.leavesThreshold) return "server";
  return thresholdLifetime(facts);
}

/** The same once it is lowered. */
export function thresholdLifetime(facts: Facts): Exclude<Lifetime, "server" | "none"> {
  if (facts.network === "own") return "container";
  if (facts.network === "unknown") return "namespace";
  return madePermanentBy(facts) ? "kept" : "restart";
}
