import type { RouteName } from "../contract.js";
import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { BRIDGE_NAMES } from "../host/bridge.js";
import type { Result, RunOptions } from "../host/child.js";
import { bridgeFailed, hostOf } from "../host/host.js";
import { REASON } from "../report/reason.js";
import { answerOf, callHost, lacks, no, pathOf, reach, runOnHost, type Verdict, yes } from "./reach.js";

/** A way to be root on the host. */
export interface Elevation {
  /** The route that goes the same way. */
  readonly name: RouteName;
  /** May open a prompt, so only one portshim at a time takes it. */
  readonly asksSomebody?: boolean;
  /** Tried only if --via names it. */
  readonly onlyNamed?: boolean;
  /** Whether the host has it, and what is changed there would be changed for us; `isNamed`: the person names it. */
  verdict(facts: Facts, isNamed: boolean): Verdict;
  /** The host's command that runs `argv` as root. */
  command(facts: Facts, argv: readonly string[]): readonly string[];
  /**
   * Runs a job as root on the host; resolves with how it ended, well or badly.
   *
   * Throws PortshimError if it was not let, or the host could not be asked.
   */
  run(facts: Facts, job: Job): Promise<Result>;
}

/** What a command says to us that had our terminal: its words are there. */
export const SEEN = "see above";

/** What root is asked to run. */
export interface Job extends Pick<RunOptions, "input" | "signal" | "timeout"> {
  /** It has to say something, however it ends. */
  readonly argv: readonly string[];
  /** It worked, as is seen without an answer. */
  readonly isDone: () => boolean;
}

/** What a shell says that cannot execute the next program. Its statuses, 126 and 127, are also pkexec's. */
const SHELL_ERROR = /^\S*sh: /m;

/** Through polkit, which can open one password prompt. */
export const pkexec: Elevation = {
  name: "pkexec",
  asksSomebody: true,
  verdict(facts) {
    const may = throughPolkit(facts);
    return may.usable ? (lacks(facts, "pkexec") ?? may) : may;
  },
  command: (facts, argv) => [pathOf("pkexec", facts), ...argv],
  async run(facts, job) {
    // pkexec(1), RETURN VALUE.
    const hasOwnStatus = (result: Result) => !bridgeFailed(result) && !SHELL_ERROR.test(result.stderr);
    const isRefused = (result: Result) => result.status === 127 && hasOwnStatus(result);
    const result = await askRoot(facts, pkexec.command(facts, job.argv), { ...job, isRefused });
    if (result.status === 126 && hasOwnStatus(result)) throw new PortshimError("dismissed");
    return answered(facts, job, result);
  },
};

/** Through systemd (256 and later), which has polkit ask the same: if pkexec is not installed, or not wanted. */
export const run0: Elevation = {
  name: "run0",
  asksSomebody: true,
  verdict(facts, isNamed) {
    const may = throughPolkit(facts);
    if (!may.usable) return may;
    const absent = lacks(facts, "run0");
    if (absent) return lacks(facts, "pkexec", "run0") ?? absent;
    return isNamed || lacks(facts, "pkexec") ? may : no(REASON.onlyWithoutPkexec);
  },
  // It would colour a terminal's background.
  command: (facts, argv) => [pathOf("run0", facts), "--background=", ...argv],
  async run(facts, job) {
    const words = /Interactive authentication required|Access denied|timed out/;
    const isRefused = ({ status, stderr }: Result) =>
      stderr === SEEN ? status === 1 : status !== 0 && words.test(stderr);
    return answered(facts, job, await askRoot(facts, run0.command(facts, job.argv), { ...job, isRefused }));
  },
};

/** Through sudo, only if it needs no password. */
export const sudo: Elevation = {
  name: "sudo",
  onlyNamed: true,
  verdict(facts) {
    const may = onHostsValue(facts);
    return may.usable ? (lacks(facts, "sudo") ?? yes(REASON.sudoMight)) : may;
  },
  command: (facts, argv) => [pathOf("sudo", facts), "-n", ...argv],
  async run(facts, job) {
    const result = await runOnHost(facts, sudo.command(facts, job.argv), job);
    const isRefused = result.status !== 0 && /^sudo:/m.test(result.stderr);
    if (isRefused) throw new PortshimError("refused", answerOf(result));
    return result;
  },
};

/** Whether the host's own value is ours. */
function onHostsValue(facts: Facts): Verdict {
  const reachable = reach(facts);
  if (!reachable.usable) return reachable;
  if (facts.network === "own") return no(REASON.otherNetwork(facts.place.what));
  if (facts.network === "unknown") return no(REASON.unknownNetwork);
  return yes("");
}

/** Whether polkit can be asked for the host's own value, if that is ours. */
function throughPolkit(facts: Facts): Verdict {
  const may = onHostsValue(facts);
  if (!may.usable) return may;
  const { bridge } = facts;
  if (hostOf(facts)?.polkit === false) return no(REASON.polkitIsDown);
  return yes(bridge?.path ? REASON.canAsk(bridge.name) : REASON.needsPassword);
}

/** How a command is run on the host. */
interface HostRunOptions extends Pick<RunOptions, "input" | "signal" | "timeout"> {
  /** It does not let us; else, if it failed, the program that it was to run has. */
  readonly isRefused: (result: Result) => boolean;
}

/**
 * Runs a command on the host that becomes root; once more on our terminal, if polkit has no other way to ask.
 *
 * Throws PortshimError `timed-out`, `refused`, `dismissed`, `bridge-failed`, `no-way`.
 */
async function askRoot(facts: Facts, argv: readonly string[], options: HostRunOptions): Promise<Result> {
  const { isRefused } = options;
  let result = await ask(facts, argv, options);
  if (isRefused(result) && hasNoAgent(result.stderr)) {
    result = (await askOnTerminal(facts, argv, options)) ?? result;
  }
  if (isRefused(result)) throw new PortshimError("refused", refusal(answerOf(result)));
  if (bridgeFailed(result)) throw new PortshimError("bridge-failed", answerOf(result));
  return result;
}

/** Has polkit ask on our terminal; undefined: it cannot. */
async function askOnTerminal(
  facts: Facts,
  argv: readonly string[],
  options: HostRunOptions,
): Promise<Result | undefined> {
  if (!facts.ownTerminal) return undefined;
  // On the host itself it would have asked there. A bridge that hands on the terminal's bytes alone would show the password.
  if (!BRIDGE_NAMES.includes(facts.bridge?.name ?? "") || lacks(facts, "systemd-run")) return undefined;
  const { onTerminal } = require("./terminal.js");
  const { timeout, signal, input } = options;
  const command = { argv, input, systemdRun: pathOf("systemd-run", facts) };
  return onTerminal(command, signal, (onPty, terminal) => ask(facts, onPty, { timeout, signal, terminal }));
}

/** As callHost(); throws PortshimError `timed-out` as well. */
async function ask(facts: Facts, argv: readonly string[], options: RunOptions): Promise<Result> {
  const result = await callHost(facts, argv, options);
  if (result.timedOut) throw new PortshimError("timed-out", String(options.timeout / 1000));
  return result;
}

/** flatpak-spawn ends silently, with 0 or 1, when the bus or the host's end of it dies. */
function answered({ bridge }: Facts, { isDone }: Job, result: Result): Result {
  const isMute = result.status <= 1 && result.stdout + result.stderr === "";
  if (bridge?.path === undefined || !isMute || isDone()) return result;
  throw new PortshimError("bridge-failed", REASON.busWentAway(bridge.name));
}

/** Polkit had nothing to ask with: pkexec and run0 then look for a terminal of their own. */
function hasNoAgent(answer: string): boolean {
  // run0 also says that it could not start an agent of its own, whether or not the session's own has asked.
  const hasAsked = /Access denied/.test(answer);
  return !hasAsked && /textual authentication agent|Interactive authentication required/.test(answer);
}

function refusal(answer: string): string {
  // systemd waits 25 seconds for polkit, whatever run0 is told.
  if (/timed out/.test(answer)) return REASON.systemdTimedOut(answer);
  if (hasNoAgent(answer)) return REASON.noAgent(answer);
  if (/Error getting authority/.test(answer)) return REASON.noPolkit(answer);
  // Its process, or the system bus, has ended while it asked.
  if (/Error checking for authorization/.test(answer)) return REASON.polkitIsMute(answer);
  return REASON.wrongPassword(answer);
}

/** An integer for what root is asked to run. Throws PortshimError `no-way` if it is not a natural number. */
export function checked(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new PortshimError("no-way", REASON.noNumber(value));
  return String(value);
}
