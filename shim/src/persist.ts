import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Ending } from "./child.js";
import type { Call, Command } from "./command.js";
import { DROP_IN, dropIn, isDropIn, MARK } from "./dropin.js";
import { answerOf, type Elevation, no, pkexec, reach, runOnHost, sudo, yes } from "./elevation.js";
import { type Facts, gather, isLocal } from "./facts.js";
import { PortshimError } from "./failure.js";
import { keeper, keptBy, startsWith } from "./lifetime.js";
import { networkNamespaceOf } from "./network.js";
import type { Options } from "./options.js";
import { named } from "./plan.js";
import { keepByHand, removeByHand } from "./remedy.js";
import * as report from "./report.js";
import { checked } from "./route.js";
import { STATUS } from "./status.js";
import { type Assignment, located, resolve } from "./sysctl.js";
import { printable } from "./text.js";
import { liveThreshold, NAME, FILE as SETTING } from "./threshold.js";

/** `portshim persist`: the host keeps the threshold over its restarts. */
export const persist: Command = {
  about: `Writes /${DROP_IN} on the host, and sets the threshold now: one password prompt, and none ever after.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses:
    "0: done, or nothing had to be done; 64: wrong options; 69: it failed; 77: permission denied; 128+N: stopped by signal N.",
  run,
};

/** What is done on the host as root. Between us and root there are only these constants and one checked integer. */
interface Work {
  /** For /bin/sh; $1 is the threshold to set. Says DONE at its end. */
  readonly script: string;
  readonly value: number;
  /** The drop-in's text after it; undefined: there is none. */
  readonly text: string | undefined;
}

/** A script says so at its end: a bridge whose bus has died ends silently, and with 0. */
const DONE = "done";

const FOREIGN = `/${DROP_IN} is there already, and was not written by portshim`;

/** Begins each script. pkexec(1) keeps 126 and 127 for itself. */
const BEGIN = `set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
file=/${DROP_IN} setting=${SETTING} new= old=
trap 's=$?; [ -z "$new" ] || rm -f "$new"; [ -z "$old" ] || echo "$old" >$setting; [ $s -lt 126 ] || s=1; exit $s' EXIT
trap 'exit 1' HUP INT TERM`;

/** Whose the file is was looked at before, but by somebody who may see less than root, and some time ago. */
const OURS = `if [ -e $file ] || [ -h $file ]; then
	if [ -h $file ] || [ ! -f $file ] || ! head -n 1 $file | grep -q '^${MARK}'; then
		echo '${FOREIGN}' >&2
		exit 1
	fi
fi`;

/** The old value comes back where the script fails after it. */
const SET = `old=$(cat $setting)
echo "$1" >$setting`;

const LOWER = `if [ "$(cat $setting)" -gt "$1" ]; then
${SET}
fi`;

const END = `old=
echo ${DONE}`;

/** rename(2) replaces the file as a whole or not at all; the name that it has until then is none that is read. */
const WRITE = `${BEGIN}
${OURS}
mkdir -p /etc/sysctl.d
new=$(mktemp /etc/sysctl.d/.90-portshim.XXXXXX)
cat >"$new" <<END
${dropIn("$1")}END
chmod 644 "$new"
sync "$new"
${LOWER}
mv -fT "$new" $file
${END}`;

const APPLY = `${BEGIN}
${LOWER}
${END}`;

const REMOVE = `${BEGIN}
${OURS}
${SET}
rm -f $file
${END}`;

/** Where we are root on the host already. */
const asWeAre: Elevation = {
  name: "write",
  verdict: ({ bridge }) =>
    isLocal(bridge) && process.getuid?.() === 0 ? yes("we are root here") : no("we are not root on the host"),
  command: (_facts, argv) => argv,
  run: (facts, argv, timeout, _isMute, signal) => runOnHost(facts, argv, timeout, signal),
};

const WAYS: readonly Elevation[] = [asWeAre, pkexec, sudo];

async function run({ options, env, canBind, log, signal, print }: Call): Promise<number> {
  if (options.remove && options.startBy === "--start") {
    throw new PortshimError("bad-usage", "--remove puts back what the host's files say, and takes no --start");
  }
  const facts = await gather({
    start: options.start,
    asker: options.startBy,
    drop: undefined,
    env,
    canBind,
    signal,
    thorough: true,
  });
  signal.throwIfAborted();
  log("detail", report.facts(facts));
  const { hostRoot: root = "/" } = facts.place;
  const reason = hindrance(facts);
  if (reason !== undefined) throw new PortshimError("no-persist", reason);

  const winner = options.remove ? undefined : stronger(facts, root);
  if (winner) log("notice", wins(winner, facts));
  const work = options.remove ? removal(root) : keeping(facts, root);
  if (work && work.script !== APPLY && isForeign(root)) throw new PortshimError("no-persist", FOREIGN);
  if (work === undefined || isIn(root, work)) {
    log("info", nothingToDo(facts, options, winner));
    return STATUS.ok;
  }
  const argv = ["/bin/sh", "-c", work.script, "sh", checked(work.value)];
  const remedy = options.remove ? removeByHand(work.value) : keepByHand(work.value);
  const ways = choose(facts, options, remedy);
  const shown = (way: Elevation) =>
    `${aboutTo(work, facts)}\n${report.aboutToRun(way.command(facts, argv), facts, way.asksSomebody)}`;
  if (options.dryRun) {
    print(`${shown(ways[0])}\n`);
    return STATUS.ok;
  }
  let last: PortshimError | undefined;
  for (const way of ways) {
    log("notice", shown(way));
    try {
      await carryOut(way, argv, facts, options.timeout * 1000, signal);
      if (!isIn(root, work)) throw new PortshimError("persist-failed", "the host said yes, but nothing changed");
      log("info", done(work, winner === undefined));
      return STATUS.ok;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof PortshimError)) throw error;
      last = error;
    }
  }
  if (last) last.remedy = remedy;
  throw last;
}

/** What keeps the host's files from being changed, or from counting here: the middle of a sentence; undefined: nothing. */
export function hindrance(facts: Facts): string | undefined {
  const { place, network, threshold, afterRestart } = facts;
  if (place.hostRoot === undefined)
    return `this is ${place.what}; it works on the host itself, in a toolbox and in a distrobox`;
  if (network === "own" || isApart(place))
    return `this is ${place.what} with its own network, for which the host's value does not count`;
  if (network === "unknown") {
    const { usable, reason } = reach(facts);
    return usable ? "it is not known whether the network here is the host's" : reason;
  }
  if (threshold === undefined) return `this kernel has no ${NAME}`;
  return afterRestart && isReadable(place.hostRoot) ? undefined : `the host's /${FOLDER} cannot be read from here`;
}

/** On the host itself, but in another network namespace than its first process; false where we may not see that one's. */
function isApart({ isHost }: Facts["place"]): boolean {
  const inits = networkNamespaceOf(1);
  return isHost === "yes" && inits !== undefined && inits !== networkNamespaceOf("self");
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
  return !isDropIn(current(root) ?? "");
}

/** The file is written only where the host would otherwise start with more: what it keeps already is not raised. */
function keeping(facts: Facts, root: string): Work {
  const { value } = facts.wanted;
  return keeper(facts)
    ? { script: APPLY, value, text: current(root) }
    : { script: WRITE, value, text: dropIn(String(value)) };
}

/** What is left of the host's configuration decides, else the kernel's default; undefined: there is no drop-in. */
function removal(root: string): Work | undefined {
  if (current(root) === undefined && !isForeign(root)) return undefined;
  const { value } = startsWith(resolve(root, new Map([[DROP_IN, undefined]]), "boot"));
  return { script: REMOVE, value, text: undefined };
}

/** Whether the host is as it is to be; only REMOVE may raise the threshold. */
function isIn(root: string, { script, text, value }: Work): boolean {
  const now = liveThreshold();
  if (now === undefined || current(root) !== text) return false;
  return script === REMOVE ? now === value : now <= value;
}

function nothingToDo(facts: Facts, { remove }: Options, winner: Assignment | undefined): string {
  if (remove) return `Nothing to do: the host has no /${DROP_IN}.`;
  const kept = keeper(facts);
  if (winner || !kept) return `Nothing to do: the host has /${DROP_IN}.`;
  return `Nothing to do: ports from ${facts.wanted.value} up may be bound, also after a restart (${keptBy(kept)}).`;
}

/** The assignment of another file of the host's that would have the last word after a restart, and ask for more. */
function stronger({ wanted }: Facts, root: string): Assignment | undefined {
  const change = new Map([[DROP_IN, dropIn(String(wanted.value))]]);
  const { declared, refused } = resolve(root, change, "boot");
  const winner = [declared, ...refused].find((one) => one && !one.file.endsWith(`/${DROP_IN}`));
  return winner?.value !== undefined && winner.value <= wanted.value ? undefined : winner;
}

function wins({ file, line, text }: Assignment, { wanted }: Facts): string {
  return `${printable(file)}:${line} wins over /${DROP_IN}, with "${printable(text)}": after the host's next restart that would count. Take that line away to keep ${wanted.value}.`;
}

/** At least one. Throws PortshimError `no-persist`. */
function choose(facts: Facts, { via }: Options, remedy: string): [Elevation, ...Elevation[]] {
  const verdicts = named(WAYS, via).map((way) => ({ way, ...way.verdict(facts) }));
  const [first, ...rest] = verdicts.filter(({ usable }) => usable).map(({ way }) => way);
  if (first) return [first, ...rest];
  const offered = WAYS.map(({ name }) => name).join(", ");
  const error = new PortshimError(
    "no-persist",
    verdicts.at(-1)?.reason ?? `--via or PORTSHIM_VIA names none of ${offered}`,
  );
  error.remedy = remedy;
  throw error;
}

async function carryOut(
  way: Elevation,
  argv: readonly string[],
  facts: Facts,
  timeout: number,
  signal: AbortSignal,
): Promise<void> {
  const isMute = ({ stdout, stderr }: Ending) => stdout + stderr === "";
  const ending = await way.run(facts, argv, timeout, isMute, signal);
  signal.throwIfAborted();
  if (ending.status !== 0 || !ending.stdout.split("\n").includes(DONE)) {
    throw new PortshimError("persist-failed", answerOf(ending));
  }
}

function aboutTo({ script, text, value }: Work, facts: Facts): string {
  if (script === REMOVE) return `About to remove /${DROP_IN} on the host, and to set ${NAME} to ${value}.`;
  const kept = keeper(facts);
  if (script === APPLY && kept)
    return `${keptBy(kept)} keeps it on the host, but it was never applied: about to set it now.`;
  return `About to write this on the host, as /${DROP_IN}:\n${(text ?? "").trimEnd().replace(/^/gm, "    ")}`;
}

function done({ script, value }: Work, isKept: boolean): string {
  if (script === REMOVE) return `Done: /${DROP_IN} is gone, and ports from ${value} up may be bound.`;
  const until = isKept ? "also after a restart" : "until the host restarts";
  const undo = script === WRITE ? " To undo it:\n    portshim persist --remove" : "";
  return `Done: ports from ${value} up may be bound, ${until}.${undo}`;
}
