import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Ending } from "./child.js";
import type { Call, Command } from "./command.js";
import { DROP_IN, dropIn, isDropIn } from "./dropin.js";
import { answerOf, type Elevation, no, pkexec, runOnHost, sudo, type Verdict, yes } from "./elevation.js";
import { type Facts, gather, isLocal } from "./facts.js";
import { PortshimError } from "./failure.js";
import { exclusively } from "./lock.js";
import type { Options } from "./options.js";
import { keepByHand, removeByHand } from "./remedy.js";
import * as report from "./report.js";
import { checked } from "./route.js";
import { STATUS } from "./status.js";
import { type Assignment, resolve } from "./sysctl.js";
import { printable } from "./text.js";
import { KERNEL_DEFAULT, liveThreshold, NAME, FILE as SETTING } from "./threshold.js";

/** `portshim persist`: the host keeps the threshold over its restarts. */
export const persist: Command = {
  name: "persist",
  what: "have the host keep the threshold over its restarts, or no longer (--remove)",
  about: `Writes /${DROP_IN} on the host, and sets the threshold now: one password prompt, and none ever after.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses: "0: done, or nothing had to be done; 125: it failed; 128+N: stopped by signal N.",
  run,
};

/** What is done on the host as root. Between us and root there are only these constants and one checked integer. */
interface Work {
  /** For /bin/sh; $1 is the threshold to set. Says DONE at its end. */
  readonly script: string;
  readonly value: number;
  /** The drop-in's text after it; undefined: it is gone. */
  readonly text: string | undefined;
}

/** A script says so at its end: a bridge whose bus has died ends silently, and with 0. */
const DONE = "done";

const FOREIGN = `/${DROP_IN} is there already, and was not written by portshim`;

const ENVIRONMENT = "set -eu; umask 022; PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/** rename(2) replaces the file as a whole or not at all; the name that it has until then is none that is read. */
const WRITE = `${ENVIRONMENT}
mkdir -p /etc/sysctl.d
new=$(mktemp /etc/sysctl.d/.90-portshim.XXXXXX)
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$new" <<END
${dropIn("$1")}END
chmod 644 "$new"
sync "$new"
mv -fT "$new" /${DROP_IN}
[ "$(cat ${SETTING})" -le "$1" ] || echo "$1" >${SETTING}
echo ${DONE}`;

const REMOVE = `${ENVIRONMENT}
rm -f /${DROP_IN}
echo "$1" >${SETTING}
echo ${DONE}`;

/** A way to run a script as root on the host, with the name of the route that is like it. */
interface Way {
  readonly name: string;
  readonly onlyNamed?: boolean;
  readonly asksSomebody?: boolean;
  verdict(facts: Facts): Verdict;
  command(argv: readonly string[]): readonly string[];
  run: Elevation["run"];
}

const WAYS: readonly Way[] = [
  {
    name: "write",
    verdict: ({ bridge }) =>
      isLocal(bridge) && process.getuid?.() === 0 ? yes("we are root here") : no("we are not root on the host"),
    command: (argv) => argv,
    run: (facts, argv, timeout, _isMute, signal) => runOnHost(facts, argv, timeout, signal),
  },
  { ...pkexec, asksSomebody: true },
  { ...sudo, onlyNamed: true },
];

async function run({ options, env, log, signal, print }: Call): Promise<number> {
  const facts = await gather({ start: options.start, drop: undefined, env, signal, thorough: true });
  signal.throwIfAborted();
  log("detail", report.facts(facts));
  const { hostRoot: root = "/" } = facts.place;
  const reason = hindrance(facts) ?? (isOurs(root) ? undefined : FOREIGN);
  if (reason !== undefined) throw new PortshimError("no-persist", reason);
  const work = options.remove ? removal(root) : keeping(facts.wanted.value);
  const settled = options.remove ? nothingToRemove(root) : nothingToKeep(facts, root);
  const winner = options.remove ? undefined : stronger(facts, root, work);
  if (winner) log("notice", wins(winner, work));
  if (settled !== undefined) {
    log("info", settled);
    return STATUS.said;
  }
  const way = choose(facts, options);
  const argv = ["/bin/sh", "-c", work.script, "sh", checked(work.value)];
  const shown = `${aboutToWrite(work)}\n${report.aboutToRun(way.command(argv), facts)}`;
  if (options.dryRun) {
    print(`${shown}\n`);
    return STATUS.said;
  }
  const act = async () => {
    log("notice", shown);
    await carryOut(way, argv, facts, options.timeout * 1000, signal);
    return true;
  };
  const isDone = () => isIn(root, work) || undefined;
  try {
    await (way.asksSomebody ? exclusively(act, isDone, signal) : act());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PortshimError)
      error.remedy = options.remove ? removeByHand(work.value) : keepByHand(work.value);
    throw error;
  }
  signal.throwIfAborted();
  if (!isIn(root, work)) throw new PortshimError("persist-failed", "the host said yes, but nothing changed");
  log("info", done(work, winner === undefined));
  return STATUS.said;
}

/** What keeps the host's files from being changed, or from counting here: the middle of a sentence; undefined: nothing. */
export function hindrance({ place, network, host, threshold }: Facts): string | undefined {
  if (place.hostRoot === undefined)
    return `this is ${place.what}; it works on the host itself, in a toolbox and in a distrobox`;
  if (network === "own") return `this is ${place.what} with its own network, for which the host's value does not count`;
  if (network === "unknown") return host && "problem" in host ? host.problem : "there is no way to the host";
  return threshold === undefined ? `this kernel has no ${NAME}` : undefined;
}

/** The drop-in's text; undefined where there is none, or no plain file. */
function current(root: string): string | undefined {
  try {
    return lstatSync(join(root, DROP_IN)).isFile() ? readFileSync(join(root, DROP_IN), "utf8") : undefined;
  } catch {
    return undefined;
  }
}

function isOurs(root: string): boolean {
  try {
    lstatSync(join(root, DROP_IN));
  } catch {
    return true;
  }
  return isDropIn(current(root) ?? "");
}

function keeping(value: number): Work {
  return { script: WRITE, value, text: dropIn(String(value)) };
}

/** What is left of the host's configuration decides, else the kernel's default. */
function removal(root: string): Work {
  const { declared } = resolve(root, new Map([[DROP_IN, undefined]]));
  return { script: REMOVE, value: declared?.value ?? KERNEL_DEFAULT, text: undefined };
}

/** Whether the host is as it is to be. */
function isIn(root: string, { text, value }: Work): boolean {
  const now = liveThreshold();
  if (now === undefined || current(root) !== text) return false;
  return text === undefined ? now === value : now <= value;
}

function nothingToRemove(root: string): string | undefined {
  return current(root) === undefined ? `Nothing to do: the host has no /${DROP_IN}.` : undefined;
}

function nothingToKeep({ wanted, threshold }: Facts, root: string): string | undefined {
  if (threshold === undefined || threshold > wanted.value) return undefined;
  const { declared } = resolve(root);
  if (declared?.value === undefined || declared.value > wanted.value) {
    // Another file wins over ours: that was said, and writing it again would not change it.
    return current(root) === dropIn(String(wanted.value)) ? `Nothing to do: the host has /${DROP_IN}.` : undefined;
  }
  return `Nothing to do: ports from ${wanted.value} up may be bound, also after a restart (${located(declared)}).`;
}

/** The assignment of another file of the host's that would have the last word after a restart, and ask for more. */
function stronger({ wanted }: Facts, root: string, { text }: Work): Assignment | undefined {
  const { declared, refused } = resolve(root, new Map([[DROP_IN, text]]));
  const winner = [declared, ...refused].find((one) => one && !one.file.endsWith(`/${DROP_IN}`));
  return winner?.value !== undefined && winner.value <= wanted.value ? undefined : winner;
}

function wins(winner: Assignment, { value }: Work): string {
  return `${located(winner)} wins over /${DROP_IN}, with "${printable(winner.text)}": after the host's next restart that would count. Take that line away to keep ${value}.`;
}

function located({ file, line }: Assignment): string {
  return `${printable(file)}:${line}`;
}

function choose(facts: Facts, { via }: Options): Way {
  const ways = WAYS.filter(({ name, onlyNamed }) => via?.includes(name) ?? !onlyNamed);
  const verdicts = ways.map((way) => ({ way, ...way.verdict(facts) }));
  const usable = verdicts.find((verdict) => verdict.usable);
  if (usable) return usable.way;
  throw new PortshimError("no-persist", verdicts.at(-1)?.reason ?? "--via names no way that could");
}

async function carryOut(
  way: Way,
  argv: readonly string[],
  facts: Facts,
  timeout: number,
  signal: AbortSignal,
): Promise<void> {
  const isMute = ({ stdout, stderr }: Ending) => stdout + stderr === "";
  const ending = await way.run(facts, argv, timeout, isMute, signal);
  if (ending.status !== 0 || !ending.stdout.split("\n").includes(DONE)) {
    throw new PortshimError("persist-failed", answerOf(ending));
  }
}

function aboutToWrite({ text, value }: Work): string {
  if (text === undefined) return `About to remove /${DROP_IN} on the host, and to set ${NAME} to ${value}.`;
  return `About to write this on the host, as /${DROP_IN}:\n${text.trimEnd().replace(/^/gm, "    ")}`;
}

function done({ text, value }: Work, isKept: boolean): string {
  if (text === undefined) return `Done: /${DROP_IN} is gone, and ports from ${value} up may be bound.`;
  const until = isKept ? "also after a restart" : "until the host restarts";
  return `Done: ports from ${value} up may be bound, ${until}. To undo it:\n    portshim persist --remove`;
}
