import { writeFileSync } from "node:fs";
import { BRIDGE_NAMES } from "./bridge.js";
import { type Ending, run } from "./child.js";
import type { Facts } from "./facts.js";
import { PortshimError } from "./failure.js";
import { bridgeFailed, PKEXEC, SYSCTL } from "./host.js";
import { commandLine, printable } from "./text.js";
import { FILE, NAME } from "./threshold.js";

/** Whether a route can be taken, and why or why not: the middle of a sentence. */
export interface Verdict {
  readonly usable: boolean;
  readonly reason: string;
}

/** One way to lower the threshold. */
export interface Route {
  readonly name: string;
  /** One line for --help. */
  readonly what: string;
  verdict(facts: Facts): Verdict;
  /** What will run as root on the host; undefined: nothing will. */
  asRoot(facts: Facts, value: number): readonly string[] | undefined;
  /**
   * Tries to set the threshold to `value` (0–65535). Resolving says only that the system said yes.
   * Throws PortshimError. A prompt stays open for `timeout` milliseconds, or until `signal` aborts.
   */
  attempt(facts: Facts, value: number, timeout: number, signal?: AbortSignal): Promise<void>;
}

const yes = (reason: string): Verdict => ({ usable: true, reason });
const no = (reason: string): Verdict => ({ usable: false, reason });

const write: Route = {
  name: "write",
  what: "write the setting ourselves, where we may",
  verdict: (facts) => (facts.writable ? yes(`we may write ${FILE}`) : no(`we may not write ${FILE}`)),
  asRoot: () => undefined,
  async attempt(_facts, value) {
    try {
      writeFileSync(FILE, `${value}\n`);
    } catch (error) {
      throw new PortshimError("write-failed", printable((error as Error).message));
    }
  },
};

const pkexec: Route = {
  name: "pkexec",
  what: "have the host's root set it, through one password prompt",
  verdict(facts) {
    const { place, bridge, host, network } = facts;
    if (!bridge) return no(`there is no ${BRIDGE_NAMES.join(" or ")} here, so the host cannot be asked`);
    if (!host) return no("there was no need to ask the host");
    if ("problem" in host) return no(host.problem);
    if (network === "own") return no(`${place.what} with its own network: the host's value does not matter to it`);
    if (network === "unknown") return no("it is not known whether the network here is the host's");
    if (!host.programs.includes(PKEXEC)) return no(`the host has no ${PKEXEC}`);
    if (!sysctlOf(facts)) return no(`the host has no sysctl program (looked for ${SYSCTL.join(", ")})`);
    return yes(place.isHost ? "polkit can ask for a password" : `the host can be asked through ${bridge.name}`);
  },
  asRoot: (facts, value) => [PKEXEC, sysctlOf(facts) ?? SYSCTL[0], "-w", `${NAME}=${value}`],
  async attempt(facts, value, timeout, signal) {
    const { bridge } = facts;
    const command = pkexec.asRoot(facts, value);
    if (!bridge || !command) throw new PortshimError("no-way", "the host cannot be reached");
    judge(await run(bridge.command(command), timeout, signal), timeout);
  },
};

function sysctlOf({ host }: Facts): string | undefined {
  if (!host || "problem" in host) return undefined;
  return SYSCTL.find((path) => host.programs.includes(path));
}

/** Turns pkexec's exit status (pkexec(1), RETURN VALUE) into a failure, unless it is 0. */
function judge(ending: Ending, timeout: number): void {
  if (ending.timedOut) throw new PortshimError("timed-out", String(timeout / 1000));
  if (ending.status === 0) return;
  const answer = printable(ending.stderr) || `nothing, status ${ending.status}`;
  if (ending.status === 126) throw new PortshimError("dismissed");
  if (ending.status === 127) throw new PortshimError("refused", refusal(answer));
  if (bridgeFailed(ending)) throw new PortshimError("bridge-failed", answer);
  throw new PortshimError("host-failed", answer);
}

function refusal(answer: string): string {
  if (/textual authentication agent/.test(answer)) {
    return `no password prompt could be opened, because no polkit agent runs in this session (${answer})`;
  }
  if (/Error getting authority/.test(answer)) return `polkit does not run there (${answer})`;
  return `not authorized by policy, or a wrong password (${answer})`;
}

/** All routes, least intrusive first. */
export const ROUTES: readonly Route[] = [write, pkexec];

/** A command to fix it by hand, on the host. */
export function byHand(value: number): string {
  return commandLine(["sudo", "sysctl", "-w", `${NAME}=${value}`]);
}
