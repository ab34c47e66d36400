import { readFileSync } from "node:fs";

/** Bits in the capability sets (linux/capability.h). */
const BITS = { setgid: 6, setuid: 7, net_bind_service: 10 } as const;

/** A capability that portshim asks about, as setpriv(1) names it. */
export type Capability = keyof typeof BITS;

/** Which of them are in our effective set; none if /proc cannot be read. */
export function effectiveCapabilities(file = "/proc/self/status"): ReadonlySet<Capability> {
  let set = 0n;
  try {
    set = BigInt(`0x${/^CapEff:\s*([0-9a-f]{1,16})$/m.exec(readFileSync(file, "latin1"))?.[1] ?? "0"}`);
  } catch {}
  const names = Object.keys(BITS) as Capability[];
  return new Set(names.filter((name) => (set >> BigInt(BITS[name])) & 1n));
}
