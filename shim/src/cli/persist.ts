import { closeSync, existsSync, fsyncSync, lstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Options } from "../attempt/options.js";
import type { Facts } from "../facts/facts.js";
import { PortshimError } from "../failure.js";
import { isSatisfied, liveThreshold, NAME } from "../here/threshold.js";
import { answerOf, type Elevation, lacks } from "../plan/elevation.js";
import { keeper, keptBy, startsWith } from "../plan/lifetime.js";
import { checked, sysctl } from "../plan/route.js";
import { byHand, keepByHand, removeByHand } from "../report/remedy.js";
import * as report from "../report/report.js";
import { assignment, DROP_IN, dropIn, isDropIn } from "../sysctl/dropin.js";
import { type Assignment, located, resolve } from "../sysctl/resolve.js";
import { printable } from "../text.js";
import type { Call, Command } from "./command.js";
import { factsOf, haveRootDo, hindrance, type Work } from "./root.js";
import { STATUS } from "./status.js";

/** `portshim persist`: the host keeps the threshold over its restarts. */
export const persist: Command = {
  about: `Writes /${DROP_IN} on the host and sets the threshold now: one password prompt, and never another.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses:
    "0: done, or nothing to do; 64: wrong options; 69: it failed; 77: permission denied; 128+N: stopped by signal N.",
  run,
};

/** What is done on the host as root. */
interface Change extends Work {
  readonly kind: "write" | "apply" | "remove";
  /** The threshold that is to be set. */
  readonly value: number;
  /** The drop-in's text after it; undefined: there is none. */
  readonly text: string | undefined;
}

/** The drop-in, as people call it. */
const FILE = `/${DROP_IN}`;

/**
 * pkexec(1) sets PATH, and so does sudo(8). tee follows links, and overwrites whatever has come there since we looked;
 * but only root can put anything into that folder.
 */
const WRITE = `umask 022; tee ${FILE}`;
const WRITE_AND_SET = `${WRITE} | sysctl -p -`;
// Not with &&: MATE's agent takes what it shows for markup, and shows nothing of a text that is none.
const REMOVE_AND_SET = `rm -f ${FILE} || exit; sysctl -p -`;

const FOREIGN = `${FILE} exists, and portshim did not write it`;

/** What is so on the host. */
interface State {
  readonly text: string | undefined;
  readonly threshold: number | undefined;
}

async function run(call: Call): Promise<number> {
  const { options, log } = call;
  if (options.remove && options.startBy === "--start") {
    throw new PortshimError("bad-usage", "--remove restores what the host's other files set, and takes no --start");
  }
  const facts = await factsOf(call);
  log("detail", report.facts(facts));
  const { hostRoot: root = "/" } = facts.place;
  const reason = cannotKeep(facts);
  if (reason !== undefined) throw new PortshimError("no-persist", reason);

  const winner = options.remove ? undefined : stronger(facts, root);
  if (winner) log("notice", wins(winner, facts));
  const work = options.remove ? removal(root) : keeping(facts, root);
  if (work && work.kind !== "apply" && isForeign(root)) throw new PortshimError("no-persist", FOREIGN);
  if (work === undefined || isIn(root, work)) {
    log("info", nothingToDo(facts, options, winner));
    return STATUS.ok;
  }
  if (work.kind === "write" && !existsSync(located(root, FOLDER))) throw noFolder();
  const errand = {
    argv: work.argv,
    about: aboutTo(work, facts),
    would: would(work, facts),
    remedy: options.remove ? removeByHand(work.value) : keepByHand(work.value),
    absent: work.kind === "apply" ? lacks(facts, "sysctl") : undefined,
    noWay: "no-persist",
    failed: "persist-failed",
    by: (way: Elevation) => carryOut(way, work, facts, call),
  } as const;
  if (await haveRootDo(errand, facts, call)) log("info", done(work, winner === undefined));
  return STATUS.ok;
}

/** systemd brings that folder; a command that made it as well would not fit into the prompt. */
function noFolder(): PortshimError {
  const error = new PortshimError("no-persist", `the host has no /${FOLDER}`);
  error.remedy = `Run this on the host, then persist again:\n    sudo mkdir -m 755 /${FOLDER}`;
  return error;
}

/** What keeps the host's files from being changed, or from counting here: the middle of a sentence; undefined: nothing. */
export function cannotKeep(facts: Facts): string | undefined {
  const reason = hindrance(facts, "persist");
  if (reason !== undefined) return reason;
  const { place, threshold, afterRestart } = facts;
  if (threshold === undefined) return `this kernel has no ${NAME}`;
  const isSeen = afterRestart !== undefined && place.hostRoot !== undefined && isReadable(place.hostRoot);
  return isSeen ? undefined : `cannot read the host's /${FOLDER} from here`;
}

/** Where the drop-in lies, below the host's root. */
const FOLDER = dirname(DROP_IN);

/** The drop-in's path: links of the host's lead to the host's files, but one of its name is none of ours. */
function pathOf(root: string): Buffer {
  return Buffer.concat([located(root, FOLDER), Buffer.from(`/${basename(DROP_IN)}`)]);
}

/** Whether we would see a drop-in: a host without the folder has none. */
function isReadable(root: string): boolean {
  try {
    readdirSync(located(root, FOLDER));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" && existsSync(join(root, dirname(FOLDER)));
  }
}

/** The drop-in's text; undefined where there is none, or no plain file. */
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
 * The file is written only if the host would otherwise start with more, and the value set only if it is higher now: what
 * is low enough already is not raised.
 */
export function keeping(facts: Facts, root: string): Change {
  const { value } = facts.wanted;
  if (keeper(facts)) return { kind: "apply", argv: () => sysctl(facts, value), value, text: current(root) };
  const text = dropIn(checked(value));
  const script = isSatisfied(facts.threshold, value) ? WRITE : WRITE_AND_SET;
  return { kind: "write", argv: () => ["/bin/sh", "-c", script], input: text, value, text };
}

/** What is left of the host's configuration decides, else the kernel's default; undefined: there is no drop-in. */
export function removal(root: string): Change | undefined {
  if (current(root) === undefined && !isForeign(root)) return undefined;
  const { value } = startsWith(resolve(root, new Map([[DROP_IN, undefined]]), "boot"));
  const argv = () => ["/bin/sh", "-c", REMOVE_AND_SET];
  return { kind: "remove", argv, input: assignment(checked(value)), value, text: undefined };
}

function stateOf(root: string): State {
  return { text: current(root), threshold: liveThreshold() };
}

/** Whether the file is as it is to be. */
function isFiled({ text }: State, work: Change): boolean {
  return text === work.text;
}

/** Whether the threshold is as it is to be; only --remove raises it. */
function isSet({ threshold }: State, { kind, value }: Change): boolean {
  return kind === "remove" ? threshold === value : isSatisfied(threshold, value);
}

function isIn(root: string, work: Change): boolean {
  const state = stateOf(root);
  return isFiled(state, work) && isSet(state, work);
}

function nothingToDo(facts: Facts, { remove }: Options, winner: Assignment | undefined): string {
  if (remove) return `Nothing to do: the host has no /${DROP_IN}.`;
  const kept = keeper(facts);
  if (winner || !kept) return `Nothing to do: the host has /${DROP_IN} already.`;
  return `Nothing to do: any user can bind ports ${facts.wanted.value} and up, also after a reboot (${keptBy(kept)}).`;
}

/** The assignment of another file of the host's that would have the last word after a restart, and ask for more. */
function stronger({ wanted }: Facts, root: string): Assignment | undefined {
  const change = new Map([[DROP_IN, dropIn(checked(wanted.value))]]);
  const { declared, refused } = resolve(root, change, "boot");
  const winner = [declared, ...refused].find((one) => one && !one.file.endsWith(`/${DROP_IN}`));
  return winner?.value !== undefined && winner.value <= wanted.value ? undefined : winner;
}

function wins({ file, line, text }: Assignment, { wanted }: Facts): string {
  return `${printable(file)}:${line} overrides /${DROP_IN}: it sets "${printable(text)}", which applies from the host's next reboot. Remove that line to keep ${wanted.value}.`;
}

/** Throws PortshimError, with the next step if the work is half done; and says that, if it was stopped in the middle. */
async function carryOut(way: Elevation, work: Change, facts: Facts, { options, log, signal }: Call): Promise<void> {
  const timeout = options.timeout * 1000;
  const { hostRoot: root = "/" } = facts.place;
  const before = stateOf(root);
  const { input } = work;
  let failure: PortshimError;
  try {
    const ending = await way.run(facts, { argv: work.argv(), input, timeout, signal, isDone: () => isIn(root, work) });
    const saidYes = ending.status === 0 && ending.stderr === "";
    failure = new PortshimError("persist-failed", saidYes ? "the host reports success" : answerOf(ending));
  } catch (error) {
    if (!(error instanceof PortshimError)) throw error;
    failure = error;
  }
  // Neither a yes nor a no is believed: what was done is there to be seen.
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

/** Has what was written survive a power cut. fsync(2) takes a reader's descriptor, too. */
function settle(root: string): void {
  try {
    const file = openSync(pathOf(root), "r");
    fsyncSync(file);
    closeSync(file);
  } catch {}
}

/** What of the work is so and what is not. */
function halfDone(root: string, work: Change, before: State, after: State): string {
  const { value } = startsWith(resolve(root, new Map(), "boot"));
  return `Now ${fileNow(work, before, after)}; ${NAME} is ${after.threshold}, and will be ${value} after the host's next reboot.`;
}

function fileNow(work: Change, before: State, { text }: State): string {
  if (text === undefined) return `there is no ${FILE}`;
  if (text === work.text) return `${FILE} is there`;
  if (text === before.text) return `${FILE} is what it was`;
  if (text === "") return `${FILE} is empty`;
  return work.text?.startsWith(text) ? `${FILE} is half written` : `${FILE} holds something else`;
}

/** The one thing that the person can do after that. */
function nextStep(work: Change, before: State, after: State): string {
  if (isFiled(after, work)) return `Run this on the host:\n    ${byHand(work.value)}`;
  if (work.kind === "remove") return removeByHand(work.value);
  if (after.text === before.text) return keepByHand(work.value);
  return "Make room on the host's disk and run it again, or undo it:\n    portshim persist --remove";
}

function aboutTo(work: Change, facts: Facts): string {
  const { kind, value } = work;
  if (kind === "remove") return `Removing /${DROP_IN} on the host, and setting ${NAME} to ${value}`;
  if (kind === "apply") return `${neverApplied(facts)}: setting it now`;
  return `Writing this on the host, as /${DROP_IN}:\n${indented(work)}`;
}

/** The same for --dry-run. */
function would(work: Change, facts: Facts): string {
  const { kind, value } = work;
  if (kind === "remove") return `Would remove /${DROP_IN} on the host, and set ${NAME} to ${value}`;
  if (kind === "apply") return neverApplied(facts);
  return `Would write this on the host, as /${DROP_IN}:\n${indented(work)}`;
}

function neverApplied(facts: Facts): string {
  const kept = keeper(facts);
  return `${kept ? keptBy(kept) : "a file"} keeps it on the host, but it was never applied`;
}

function indented({ text = "" }: Change): string {
  return text.trimEnd().replace(/^/gm, "    ");
}

function done({ kind, value }: Change, isKept: boolean): string {
  if (kind === "remove") return `Done. /${DROP_IN} is gone, and any user can bind ports ${value} and up.`;
  const until = isKept ? "also after a reboot" : "until the host reboots";
  const undo = kind === "write" ? " To undo it:\n    portshim persist --remove" : "";
  return `Done. Any user can now bind ports ${value} and up, ${until}.${undo}`;
}
