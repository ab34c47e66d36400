import { type FailureCode, PortshimError } from "../error.js";
import { type Facts, gather } from "../facts/facts.js";
import { networkNamespaceOf } from "../here/place.js";
import { HOST_ENVIRONMENT, isLocal } from "../host/bridge.js";
import { type Elevation, pkexec, run0, sudo } from "../plan/elevation.js";
import { named } from "../plan/plan.js";
import { no, reach, runOnHost, type Verdict, yes } from "../plan/reach.js";
import { REASON } from "../report/reason.js";
import { aboutToRun, wouldRun } from "../report/start.js";
import type { Invocation } from "./command.js";

// What portshim's own commands have the host's root do.

/** What root is asked to run. Between us and root there are only constants and checked integers. */
export interface RootCommand {
  /**
   * One plain command: polkit's prompt shows 80 characters, and people have to see all of what they confirm.
   * Throws PortshimError if the host lacks the program; call it only if there is something to do.
   */
  readonly argv: () => readonly string[];
  /** What the command reads from its stdin. */
  readonly input?: string;
}

/** Something that root does on the host: what is said of it, and how it is done. */
export interface Errand extends Pick<RootCommand, "argv"> {
  /** What is about to be done; lines. */
  readonly about: string;
  /** The same for --dry-run. */
  readonly would: string;
  /** What a person can do if it fails; lines. */
  readonly remedy: string;
  /** What the host lacks for it, whichever way is taken. */
  readonly absent?: Verdict | undefined;
  /** The failure if there is no way to become root; `reason` is the middle of a sentence. */
  noWay(reason: string): PortshimError;
  /** The failure after which no other way is tried: root has done what it could, and to ask once more would change nothing. */
  readonly failed: FailureCode;
  /** Does it by one way. Throws PortshimError. */
  by(way: Elevation): Promise<void>;
}

/** Whether we are root on the host as we are. */
export function isHostsRoot({ bridge }: Facts): boolean {
  return isLocal(bridge) && process.getuid?.() === 0;
}

const asWeAre: Elevation = {
  name: "write",
  verdict: (facts) => (isHostsRoot(facts) ? yes(REASON.isRoot) : no(REASON.isNotRoot)),
  // After a plain su, PATH is still the caller's.
  command: (_facts, argv) => ["/usr/bin/env", HOST_ENVIRONMENT, ...argv],
  run: (facts, job) => runOnHost(facts, asWeAre.command(facts, job.argv), job),
};

/** What --via can name here; the first one that can is taken. */
export const WAYS: readonly Elevation[] = [asWeAre, pkexec, run0, sudo];

/** The facts of a command that changes the host. Throws what gather() throws. */
export function factsOf({ options, env, holdsCapability, signal }: Invocation): Promise<Facts> {
  const { start, startBy } = options;
  return gather({ start, startBy, env, holdsCapability, signal, ownTerminal: true, thorough: true });
}

/** Why `command` cannot change the host from here, or not for us: the middle of a sentence; undefined: it can. */
export function hindrance(facts: Facts, command: string): string | undefined {
  const { place, network } = facts;
  if (place.hostRoot === undefined) return REASON.wrongPlace(place.what, command);
  if (network === "own" || isApart(place)) return REASON.notHostsNetwork(place.what);
  if (network === "hosts") return undefined;
  const { usable, reason } = reach(facts);
  return usable ? REASON.unknownNetwork : reason;
}

/** On the host, but in another network namespace than its init; false if we are not permitted to see that one. */
function isApart({ isHost }: Facts["place"]): boolean {
  const inits = networkNamespaceOf(1);
  return isHost === "yes" && inits !== undefined && inits !== networkNamespaceOf("self");
}

/**
 * Has root do it by the first way that can; with --dry-run prints what would be done. Resolves to whether it was done.
 *
 * Throws PortshimError, the last way's or `noWay`, and the reason of the invocation's signal.
 */
export async function haveRootDo(errand: Errand, facts: Facts, invocation: Invocation): Promise<boolean> {
  const { options, log, signal, print } = invocation;
  const command = (way: Elevation) => way.command(facts, errand.argv());
  const [first, ...rest] = waysToRoot(errand, facts, options.via);
  if (options.dryRun) {
    print(`${errand.would}\n${wouldRun(command(first))}\n`);
    return false;
  }
  let last: PortshimError | undefined;
  for (const way of [first, ...rest]) {
    log("notice", `${errand.about}\n${aboutToRun(command(way), facts, way.asksSomebody === true)}`);
    try {
      await errand.by(way);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof PortshimError)) throw error;
      last = error;
      last.remedy ||= errand.remedy;
      if (last.code === errand.failed) break;
    }
  }
  throw last;
}

/** At least one. Throws PortshimError. */
function waysToRoot(
  { absent, noWay, remedy }: Errand,
  facts: Facts,
  via: readonly string[] | undefined,
): [Elevation, ...Elevation[]] {
  const verdicts = named(WAYS, via).map((way) => ({ way, ...(absent ?? way.verdict(facts, via !== undefined)) }));
  const [first, ...rest] = verdicts.filter(({ usable }) => usable).map(({ way }) => way);
  if (first) return [first, ...rest];
  const error = noWay(verdicts.at(-1)?.reason ?? REASON.noSuchRoute(WAYS.map(({ name }) => name)));
  error.remedy = remedy;
  throw error;
}
