import { closeSync, existsSync, fsyncSync, lstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { isSatisfied, liveThreshold } from "../here/threshold.js";
import { checked, type Elevation } from "../plan/elevation.js";
import { bootThreshold, madePermanentBy, sourceOf } from "../plan/lifetime.js";
import { answerOf, lacks } from "../plan/reach.js";
import { sysctl } from "../plan/route.js";
import { REASON } from "../report/reason.js";

import report = require("../report/persist.js");

import { keepByHand, removeByHand } from "../report/remedy.js";
import { summary } from "../report/start.js";
import { assignment, DROP_IN, DROP_IN_PATH, dropIn, FOLDER, isDropIn } from "../sysctl/dropin.js";
import { type Assignment, located, resolve } from "../sysctl/resolve.js";
import type { Command, Invocation } from "./command.js";
import { type Errand, factsOf, haveRootDo, hindrance, type RootCommand } from "./root.js";
import { STATUS } from "./status.js";

/** `portshim persist`: makes the threshold permanent on the host. */
export const persist: Command = {
  about: `Writes ${DROP_IN_PATH} on the host and sets the threshold now: one password prompt, and never another.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses: {
    [STATUS.ok]: "done, or nothing to do",
    [STATUS.usage]: "wrong options",
    [STATUS.unavailable]: "no way from here, or the host failed",
    [STATUS.noPermission]: "permission denied: refused, dismissed, or not answered in time",
  },
  run,
};

/** A change, and the command that makes it. */
type Change = RootCommand & report.Change;

/**
 * pkexec(1) and sudo(8) set PATH. tee follows links, and overwrites a file that was created since we looked; but only
 * root can create one there.
 */
const WRITE = `umask 022; tee ${DROP_IN_PATH}`;

/** Root's shell command that writes the file from its stdin and sets the value. */
export const WRITE_AND_SET = `${WRITE} | sysctl -p -`;

/**
 * Root's shell command that removes the file and sets the value from its stdin.
 * Not &&: MATE's agent parses the text as markup, and shows nothing if it is invalid.
 */
export const REMOVE_AND_SET = `rm -f ${DROP_IN_PATH} || exit; sysctl -p -`;

async function run(invocation: Invocation): Promise<number> {
  const { options, log } = invocation;
  if (options.remove && options.startBy === "--start") {
    throw new PortshimError("bad-usage", report.REMOVE_ALONE);
  }
  const facts = await factsOf(invocation);
  log("detail", summary(facts));
  const { hostRoot: root = "/" } = facts.place;
  const reason = cannotKeep(facts);
  if (reason !== undefined) throw noPersist(reason);

  const winner = options.remove ? undefined : stronger(facts, root);
  if (winner) log("notice", report.overrides(winner, facts.wanted.value));
  const change = options.remove ? removal(root) : keeping(facts, root);
  if (change && change.kind !== "apply" && isForeign(root)) throw noPersist(report.WHY.foreign);
  if (change === undefined || isIn(root, change)) {
    const permanent = winner ? undefined : madePermanentBy(facts);
    const already = report.nothingToDo(facts.wanted.value, permanent && sourceOf(permanent));
    log("info", options.remove ? report.NOTHING_TO_REMOVE : already);
    return STATUS.ok;
  }
  if (change.kind === "write" && !existsSync(located(root, FOLDER))) throw noFolder();
  const errand: Errand = {
    argv: change.argv,
    about: report.aboutTo(change),
    would: report.would(change),
    remedy: options.remove ? removeByHand(change.value) : keepByHand(change.value),
    absent: change.kind === "apply" ? lacks(facts, "sysctl") : undefined,
    noWay: noPersist,
    failed: "persist-failed",
    by: (way) => carryOut(way, change, facts, invocation),
  };
  if (await haveRootDo(errand, facts, invocation)) log("info", report.done(change, winner === undefined));
  return STATUS.ok;
}

function noPersist(reason: string): PortshimError {
  return new PortshimError("no-persist", report.cannot(reason));
}

/** A command that made it as well would not fit into the prompt. */
function noFolder(): PortshimError {
  const error = noPersist(report.WHY.noFolder);
  error.remedy = report.MAKE_FOLDER;
  return error;
}

/**
 * Why the host's files cannot be changed from here, or do not apply here: the middle of a sentence; undefined: they
 * can, and do.
 */
export function cannotKeep(facts: Facts): string | undefined {
  const reason = hindrance(facts, "persist");
  if (reason !== undefined) return reason;
  const { place, threshold, afterRestart } = facts;
  if (threshold === undefined) return REASON.noSetting;
  const isSeen = afterRestart !== undefined && place.hostRoot !== undefined && isReadable(place.hostRoot);
  return isSeen ? undefined : report.WHY.unseen;
}

/**
 * The drop-in as we see it: links in its folder's path are followed within the host; the file itself must not be one.
 */
function fileIn(root: string): Buffer {
  return Buffer.concat([located(root, FOLDER), Buffer.from(`/${basename(DROP_IN)}`)]);
}

/** Whether we would see a drop-in if there were one: a host without the folder has none. */
function isReadable(root: string): boolean {
  try {
    readdirSync(located(root, FOLDER));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" && existsSync(join(root, dirname(FOLDER)));
  }
}

/** The drop-in's text; undefined if there is none, or it is not a regular file. */
function current(root: string): string | undefined {
  try {
    return lstatSync(fileIn(root)).isFile() ? readFileSync(fileIn(root), "utf8") : undefined;
  } catch {
    return undefined;
  }
}

function isForeign(root: string): boolean {
  try {
    lstatSync(fileIn(root));
  } catch {
    return false;
  }
  const text = current(root);
  return text === undefined || !isDropIn(text);
}

/**
 * Writes the file only if the host would otherwise boot with a higher value, and sets the value only if it is higher
 * now: a lower one is not raised.
 */
export function keeping(facts: Facts, root: string): Change {
  const { value } = facts.wanted;
  const permanent = madePermanentBy(facts);
  if (permanent) {
    const argv = () => sysctl(facts, value);
    return { kind: "apply", setBy: sourceOf(permanent), argv, value, text: current(root) };
  }
  const text = dropIn(checked(value));
  const script = isSatisfied(facts.threshold, value) ? WRITE : WRITE_AND_SET;
  return { kind: "write", argv: () => ["/bin/sh", "-c", script], input: text, value, text };
}

/** Sets what the host's other files declare, else the kernel's default; undefined: there is no drop-in. */
export function removal(root: string): Change | undefined {
  if (current(root) === undefined && !isForeign(root)) return undefined;
  const { value } = bootThreshold(resolve(root, new Map([[DROP_IN, undefined]]), "boot"));
  const argv = () => ["/bin/sh", "-c", REMOVE_AND_SET];
  return { kind: "remove", argv, input: assignment(checked(value)), value, text: undefined };
}

function stateOf(root: string): report.State {
  return { text: current(root), threshold: liveThreshold() };
}

/** Whether the file is as wanted. */
function isFiled({ text }: report.State, change: report.Change): boolean {
  return text === change.text;
}

/** Whether the threshold is as wanted; only --remove raises it. */
function isSet({ threshold }: report.State, { kind, value }: report.Change): boolean {
  return kind === "remove" ? threshold === value : isSatisfied(threshold, value);
}

function isIn(root: string, change: report.Change): boolean {
  const state = stateOf(root);
  return isFiled(state, change) && isSet(state, change);
}

/** The assignment in another file on the host that would win after a reboot, with a higher value. */
function stronger({ wanted }: Facts, root: string): Assignment | undefined {
  const ours = new Map([[DROP_IN, dropIn(checked(wanted.value))]]);
  const { declared, invalid } = resolve(root, ours, "boot");
  const winner = [declared, ...invalid].find((one) => one && !one.file.endsWith(DROP_IN_PATH));
  return winner?.value !== undefined && winner.value <= wanted.value ? undefined : winner;
}

/** Throws PortshimError, with the next step if the change is half made; logs that if it was stopped in the middle. */
async function carryOut(
  way: Elevation,
  change: Change,
  facts: Facts,
  { options, log, signal }: Invocation,
): Promise<void> {
  const timeout = options.timeout * 1000;
  const { hostRoot: root = "/" } = facts.place;
  const before = stateOf(root);
  const { input } = change;
  let failure: PortshimError;
  try {
    const result = await way.run(facts, {
      argv: change.argv(),
      input,
      timeout,
      signal,
      isDone: () => isIn(root, change),
    });
    const saidYes = result.status === 0 && result.stderr === "";
    failure = new PortshimError("persist-failed", saidYes ? "the host reports success" : answerOf(result));
  } catch (error) {
    if (!(error instanceof PortshimError)) throw error;
    failure = error;
  }
  // Whatever the answer was: look at what was done.
  const after = stateOf(root);
  if (isFiled(after, change) && isSet(after, change)) {
    if (change.kind === "write") settle(root);
    return;
  }
  const isTouched = after.text !== before.text || after.threshold !== before.threshold;
  if (isTouched || failure.code === "persist-failed") {
    const { value: boot } = bootThreshold(resolve(root, new Map(), "boot"));
    failure.remedy = [report.halfDone(change, before, after, boot), report.finish(change, before, after)].join("\n");
  }
  if (isTouched && signal.aborted) log("notice", failure.remedy);
  throw failure;
}

/** Makes the file survive a power cut. fsync(2) accepts a descriptor that is open for reading. */
function settle(root: string): void {
  try {
    const file = openSync(fileIn(root), "r");
    fsyncSync(file);
    closeSync(file);
  } catch {}
}
