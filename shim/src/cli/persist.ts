import { closeSync, existsSync, fsyncSync, lstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Options } from "../attempt/options.js";
import type { Facts } from "../facts/facts.js";
import { PortshimError } from "../failure.js";
import { isSatisfied, liveThreshold, SETTING } from "../here/threshold.js";
import { checked, type Elevation } from "../plan/elevation.js";
import { bootThreshold, madePermanentBy, sourceOf } from "../plan/lifetime.js";
import { answerOf, lacks } from "../plan/reach.js";
import { sysctl } from "../plan/route.js";
import { byHand, keepByHand, removeByHand } from "../report/remedy.js";
import * as report from "../report/report.js";
import { assignment, DROP_IN, dropIn, isDropIn } from "../sysctl/dropin.js";
import { type Assignment, located, resolve } from "../sysctl/resolve.js";
import { printable } from "../text.js";
import type { Command, Invocation } from "./command.js";
import { type Errand, factsOf, haveRootDo, hindrance, type Work } from "./root.js";
import { STATUS } from "./status.js";

/** The drop-in's path on the host. */
const DROP_IN_PATH = `/${DROP_IN}`;

/** `portshim persist`: makes the threshold permanent on the host. */
export const persist: Command = {
  about: `Writes ${DROP_IN_PATH} on the host and sets the threshold now: one password prompt, and never another.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses:
    "0: done, or nothing to do; 64: wrong options; 69: it failed; 77: permission denied; 128+N: stopped by signal N.",
  run,
};

/** What is done on the host as root. */
interface Change extends Work {
  readonly kind: "write" | "apply" | "remove";
  /** The threshold to set. */
  readonly value: number;
  /** The drop-in's text afterwards; undefined: no drop-in. */
  readonly text: string | undefined;
}

/**
 * pkexec(1) and sudo(8) set PATH. tee follows links, and overwrites a file that was created since we looked; but only
 * root can create one there.
 */
const WRITE = `umask 022; tee ${DROP_IN_PATH}`;
const WRITE_AND_SET = `${WRITE} | sysctl -p -`;
// Not &&: MATE's agent parses the text as markup, and shows nothing if it is invalid.
const REMOVE_AND_SET = `rm -f ${DROP_IN_PATH} || exit; sysctl -p -`;

const FOREIGN = "it exists, and portshim did not write it";

/** What the host has now. */
interface State {
  readonly text: string | undefined;
  readonly threshold: number | undefined;
}

async function run(invocation: Invocation): Promise<number> {
  const { options, log } = invocation;
  if (options.remove && options.startBy === "--start") {
    throw new PortshimError("bad-usage", "--remove restores what the host's other files set, and takes no --start");
  }
  const facts = await factsOf(invocation);
  log("detail", report.summary(facts));
  const { hostRoot: root = "/" } = facts.place;
  const reason = cannotKeep(facts);
  if (reason !== undefined) throw noPersist(reason);

  const winner = options.remove ? undefined : stronger(facts, root);
  if (winner) log("notice", wins(winner, facts));
  const work = options.remove ? removal(root) : keeping(facts, root);
  if (work && work.kind !== "apply" && isForeign(root)) throw noPersist(FOREIGN);
  if (work === undefined || isIn(root, work)) {
    log("info", nothingToDo(facts, options, winner));
    return STATUS.ok;
  }
  if (work.kind === "write" && !existsSync(located(root, FOLDER))) throw noFolder();
  const errand: Errand = {
    argv: work.argv,
    about: aboutTo(work, facts),
    would: would(work, facts),
    remedy: options.remove ? removeByHand(work.value) : keepByHand(work.value),
    absent: work.kind === "apply" ? lacks(facts, "sysctl") : undefined,
    noWay: noPersist,
    failed: "persist-failed",
    by: (way) => carryOut(way, work, facts, invocation),
  };
  if (await haveRootDo(errand, facts, invocation)) log("info", done(work, winner === undefined));
  return STATUS.ok;
}

function noPersist(reason: string): PortshimError {
  return new PortshimError("no-persist", `cannot change ${DROP_IN_PATH} on the host: ${reason}`);
}

/** systemd brings that folder; a command that made it as well would not fit into the prompt. */
function noFolder(): PortshimError {
  const error = noPersist(`the host has no /${FOLDER}`);
  error.remedy = `Run this on the host, then persist again:\n    sudo mkdir -m 755 /${FOLDER}`;
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
  if (threshold === undefined) return `this kernel has no ${SETTING}`;
  const isSeen = afterRestart !== undefined && place.hostRoot !== undefined && isReadable(place.hostRoot);
  return isSeen ? undefined : `cannot read the host's /${FOLDER} from here`;
}

/** The drop-in's folder, below the host's root. */
const FOLDER = dirname(DROP_IN);

/**
 * The drop-in as we see it: links in its folder's path are followed within the host; the file itself must not be one.
 */
function pathOf(root: string): Buffer {
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
    return lstatSync(pathOf(root)).isFile() ? readFileSync(pathOf(root), "utf8") : undefined;
  } catch {
    return undefined;
  }
}

function isForeign(root: string): boolean {
  try {
    lstatSync(pathOf(root));
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
  if (madePermanentBy(facts)) return { kind: "apply", argv: () => sysctl(facts, value), value, text: current(root) };
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

function stateOf(root: string): State {
  return { text: current(root), threshold: liveThreshold() };
}

/** Whether the file is as wanted. */
function isFiled({ text }: State, work: Change): boolean {
  return text === work.text;
}

/** Whether the threshold is as wanted; only --remove raises it. */
function isSet({ threshold }: State, { kind, value }: Change): boolean {
  return kind === "remove" ? threshold === value : isSatisfied(threshold, value);
}

function isIn(root: string, work: Change): boolean {
  const state = stateOf(root);
  return isFiled(state, work) && isSet(state, work);
}

function nothingToDo(facts: Facts, { remove }: Options, winner: Assignment | undefined): string {
  if (remove) return `Nothing to do: the host has no ${DROP_IN_PATH}.`;
  const permanent = madePermanentBy(facts);
  if (winner || !permanent) return `Nothing to do: the host has ${DROP_IN_PATH} already.`;
  return `Nothing to do: any user can bind ports ${facts.wanted.value} and up, also after a reboot (${sourceOf(permanent)}).`;
}

/** The assignment in another file on the host that would win after a reboot, with a higher value. */
function stronger({ wanted }: Facts, root: string): Assignment | undefined {
  const change = new Map([[DROP_IN, dropIn(checked(wanted.value))]]);
  const { declared, invalid } = resolve(root, change, "boot");
  const winner = [declared, ...invalid].find((one) => one && !one.file.endsWith(DROP_IN_PATH));
  return winner?.value !== undefined && winner.value <= wanted.value ? undefined : winner;
}

function wins({ file, line, text }: Assignment, { wanted }: Facts): string {
  return `${printable(file)}:${line} overrides ${DROP_IN_PATH}: it sets "${printable(text)}", which applies from the host's next reboot. Remove that line to keep ${wanted.value}.`;
}

/** Throws PortshimError, with the next step if the work is half done; logs that if it was stopped in the middle. */
async function carryOut(
  way: Elevation,
  work: Change,
  facts: Facts,
  { options, log, signal }: Invocation,
): Promise<void> {
  const timeout = options.timeout * 1000;
  const { hostRoot: root = "/" } = facts.place;
  const before = stateOf(root);
  const { input } = work;
  let failure: PortshimError;
  try {
    const result = await way.run(facts, { argv: work.argv(), input, timeout, signal, isDone: () => isIn(root, work) });
    const saidYes = result.status === 0 && result.stderr === "";
    failure = new PortshimError("persist-failed", saidYes ? "the host reports success" : answerOf(result));
  } catch (error) {
    if (!(error instanceof PortshimError)) throw error;
    failure = error;
  }
  // Whatever the answer was: look at what was done.
  const after = stateOf(root);
  if (isFiled(after, work) && isSet(after, work)) {
    if (work.kind === "write") settle(root);
    return;
  }
  const isTouched = after.text !== before.text || after.threshold !== before.threshold;
  if (isTouched || failure.code === "persist-failed") {
    failure.remedy = [halfDone(root, work, before, after), nextStep(work, before, after)].join("\n");
  }
  if (isTouched && signal.aborted) log("notice", failure.remedy);
  throw failure;
}

/** Makes the file survive a power cut. fsync(2) accepts a descriptor that is open for reading. */
function settle(root: string): void {
  try {
    const file = openSync(pathOf(root), "r");
    fsyncSync(file);
    closeSync(file);
  } catch {}
}

/** What is done of the work, and what is not. */
function halfDone(root: string, work: Change, before: State, after: State): string {
  const { value } = bootThreshold(resolve(root, new Map(), "boot"));
  return `Now ${fileNow(work, before, after)}; ${SETTING} is ${after.threshold}, and will be ${value} after the host's next reboot.`;
}

function fileNow(work: Change, before: State, { text }: State): string {
  if (text === undefined) return `there is no ${DROP_IN_PATH}`;
  if (text === work.text) return `${DROP_IN_PATH} is there`;
  if (text === before.text) return `${DROP_IN_PATH} is what it was`;
  if (text === "") return `${DROP_IN_PATH} is empty`;
  return work.text?.startsWith(text) ? `${DROP_IN_PATH} is half written` : `${DROP_IN_PATH} holds something else`;
}

/** The one thing to do after that. */
function nextStep(work: Change, before: State, after: State): string {
  if (isFiled(after, work)) return `Run this on the host:\n    ${byHand(work.value)}`;
  if (work.kind === "remove") return removeByHand(work.value);
  if (after.text === before.text) return keepByHand(work.value);
  return "Make room on the host's disk and run it again, or undo it:\n    portshim persist --remove";
}

function aboutTo(work: Change, facts: Facts): string {
  const { kind, value } = work;
  if (kind === "remove") return `Removing ${DROP_IN_PATH} on the host, and setting ${SETTING} to ${value}`;
  if (kind === "apply") return `${neverApplied(facts)}: setting it now`;
  return `Writing this on the host, as ${DROP_IN_PATH}:\n${indented(work)}`;
}

/** aboutTo() for --dry-run. */
function would(work: Change, facts: Facts): string {
  const { kind, value } = work;
  if (kind === "remove") return `Would remove ${DROP_IN_PATH} on the host, and set ${SETTING} to ${value}`;
  if (kind === "apply") return neverApplied(facts);
  return `Would write this on the host, as ${DROP_IN_PATH}:\n${indented(work)}`;
}

function neverApplied(facts: Facts): string {
  const kept = madePermanentBy(facts);
  return `${kept ? sourceOf(kept) : "a file"} sets it on the host, but it was never applied`;
}

function indented({ text = "" }: Change): string {
  return text.trimEnd().replace(/^/gm, "    ");
}

function done({ kind, value }: Change, isKept: boolean): string {
  if (kind === "remove") return `Done. ${DROP_IN_PATH} is gone, and any user can bind ports ${value} and up.`;
  const until = isKept ? "also after a reboot" : "until the host reboots";
  const undo = kind === "write" ? " To undo it:\n    portshim persist --remove" : "";
  return `Done. Any user can now bind ports ${value} and up, ${until}.${undo}`;
}
