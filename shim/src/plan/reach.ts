import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { BRIDGE_NAMES, BRIDGE_PACKAGES } from "../host/bridge.js";
import { type Result, type RunOptions, run } from "../host/child.js";
import { bridgeFailed, hostOf, nameOf, type Program } from "../host/host.js";
import { REASON } from "../report/reason.js";
import { printable } from "../text.js";

/** Whether something can be done, and why or why not: the middle of a sentence. */
export interface Verdict {
  readonly usable: boolean;
  readonly reason: string;
}

export const yes = (reason: string): Verdict => ({ usable: true, reason });
export const no = (reason: string): Verdict => ({ usable: false, reason });

/** Whether the host answers. */
export function reach({ bridge, host, place }: Facts): Verdict {
  if (!bridge) {
    // Elsewhere it would not help without the session bus.
    const isOfUse = place.hostRoot !== undefined;
    return no(isOfUse ? REASON.installBridge(BRIDGE_NAMES, BRIDGE_PACKAGES) : REASON.noBridge(BRIDGE_NAMES));
  }
  if (!host) return no(REASON.notAsked);
  return "problem" in host ? no(host.problem) : yes(REASON.answers);
}

/** Which of these programs the host lacks; undefined: none. */
export function lacks(facts: Facts, ...programs: Program[]): Verdict | undefined {
  const there = hostOf(facts)?.programs ?? {};
  const absent = programs.filter((program) => there[program] === undefined);
  return absent.length > 0 ? no(REASON.lacks(absent)) : undefined;
}

/** Where the host has a program. Throws PortshimError `no-way` if it has none, which lacks() tells before. */
export function pathOf(program: Program, facts: Facts): string {
  const path = hostOf(facts)?.programs[program];
  if (path === undefined) throw new PortshimError("no-way", REASON.lacks([program]));
  return path;
}

/**
 * Runs a command on the host, as whoever the bridge belongs to; resolves with how it ended, or that it did not in time.
 *
 * Throws PortshimError `no-way` if there is no bridge.
 */
export async function callHost(facts: Facts, argv: readonly string[], options: RunOptions): Promise<Result> {
  const { bridge } = facts;
  if (!bridge) throw new PortshimError("no-way", REASON.cannotReach);
  const dieWithUs = bridge.path !== undefined;
  const { timeout, input, terminal } = options;
  const shell = input === undefined && terminal === undefined ? hostOf(facts)?.shell : undefined;
  const call = () => run(bridge.command(argv), { ...options, identity: bridge.identity, dieWithUs });
  return (await shell?.exec(argv, timeout)) ?? call();
}

/** The same for a command that asks nobody for a password, if it ran. Throws PortshimError `no-way`, `bridge-failed`. */
export async function runOnHost(facts: Facts, argv: readonly string[], options: RunOptions): Promise<Result> {
  const result = await callHost(facts, argv, options);
  if (result.timedOut && facts.bridge) {
    throw new PortshimError("bridge-failed", REASON.noAnswer(nameOf(facts.bridge), options.timeout / 1000));
  }
  if (bridgeFailed(result)) throw new PortshimError("bridge-failed", answerOf(result));
  return result;
}

/** What it said to that, as the middle of a sentence. */
export function answerOf({ stderr, status }: Result): string {
  return printable(stderr) || REASON.noMessage(status);
}
