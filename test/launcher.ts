import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  constants as open,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { SHELLS as PLAIN_SHELLS } from "./namespace.js";
import { ROOT, which } from "./need.js";

/** One verb of launcher.c (its table VERBS) with its values; strings are bytes (latin1). */
export type Step = readonly [verb: string, ...values: (string | number)[]];

/** What launcher.c saw; times are nanoseconds of the monotonic clock, unless their name says otherwise. */
export interface Outcome {
  /** The command's exit status, -1 where a signal ended it. */
  readonly exit: number;
  /** The signal that ended it, or 0. */
  readonly signal: number;
  /** It was killed because its patience was over. */
  readonly timedOut: number;
  readonly ms: number;
  /** Milliseconds until no other process of its namespace was left; not told of a process 1. */
  readonly aloneAfter: number;
  /** The namespace's threshold at the end. */
  readonly threshold: number;
  readonly ended: number;
  /** When each signal was sent. */
  readonly signals: readonly number[];
  /** Whether the command had a handler for each of them when it was sent, 1 or 0. */
  readonly caught: readonly number[];
  /** Command lines of what was still there a second after its end. */
  readonly survivors: readonly string[];
  /** What a terminal showed. */
  readonly screen: string;
}

/** A folder for this test file's programs and files, removed at its end; others may enter it. */
export const PLACE = mkdtempSync(join(tmpdir(), "portshim-launch-"));
chmodSync(PLACE, 0o755);
process.on("exit", () => rmSync(PLACE, { recursive: true, force: true }));

/**
 * The shells of namespace.ts; bash as Fedora's /bin/sh is it, called sh, which changes its ways; and dash as in an image
 * of Debian's, where the stub can look at a glance: see glance().
 */
export const SHELLS: Readonly<Record<string, readonly string[]>> = {
  ...PLAIN_SHELLS,
  "dash with mawk": PLAIN_SHELLS.dash ?? [],
  "bash as sh": [join(PLACE, "bash-as-sh", "sh")],
};

/** Where the programs are built and the stub is copied to: a build in the checkout must not change it under a test. */
export const PROBE = join(PLACE, "probe");
const LAUNCHER = join(PLACE, "launcher");

/** The stub that the tests start. */
export const PORTSHIM = join(PLACE, "shim", "portshim");

/** Compiles the two C programs, and copies the stub and its helper. To be called before all else here. */
export function prepare(): void {
  for (const [source, program] of [
    ["probe.c", PROBE],
    ["launcher.c", LAUNCHER],
  ] as const) {
    execFileSync("gcc", ["-O1", "-Wall", "-Wno-unused-result", "-o", program, join(ROOT, "test", source)]);
  }
  mkdirSync(join(PLACE, "bash-as-sh"));
  symlinkSync(which("bash") ?? "bash", join(PLACE, "bash-as-sh", "sh"));
  cpSync(join(ROOT, "shim"), join(PLACE, "shim"), { recursive: true });
}

/** Steps that take every declaration of this machine's out of the way: nothing asks for a threshold. */
export const UNDECLARED: readonly Step[] = [
  ...["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"]
    .filter((path) => existsSync(path))
    .map((path): Step => ["empty", path]),
  ...["/etc/sysctl.conf"].filter((path) => existsSync(path)).map((path): Step => ["bind", "/dev/null", path]),
];

const MAWK = "/usr/bin/mawk";

/** Steps that let the stub, on a shell of SHELLS, look at a glance, or keep it from that. */
export function glance(shell: string | undefined): readonly Step[] {
  // This machine's /run may hold a host's files, as in a toolbox.
  if (shell === "dash with mawk") return [["empty", "/run"]];
  return existsSync(MAWK) ? [["bind", "/dev/null", MAWK]] : [];
}

const { O_RDONLY, O_WRONLY, O_APPEND, O_CREAT, O_TRUNC } = open;

/** The flags of open(2) for a step `open`. */
export const OPEN = { read: O_RDONLY, write: O_WRONLY | O_CREAT | O_TRUNC, append: O_WRONLY | O_CREAT | O_APPEND };

let runs = 0;

/** A new path below PLACE, different at each call and of the same length. */
export function newPath(): string {
  return join(PLACE, `run-${String(++runs).padStart(6, "0")}`);
}

/** The steps that give a command the streams of a service: nothing to read, and files for the rest. */
export function streams(path: string): Step[] {
  return [
    ["open", 0, "/dev/null", OPEN.read],
    ["open", 1, `${path}.stdout`, OPEN.append],
    ["open", 2, `${path}.stderr`, OPEN.append],
  ];
}

/** Runs launcher.c; `path` is where its words are put. */
export async function launch(path: string, steps: readonly Step[]): Promise<Outcome> {
  const words = steps.flatMap((step) => step.map(String)).map((word) => `${word}\0`);
  writeFileSync(`${path}.words`, Buffer.from(words.join(""), "latin1"));
  const child = spawn(LAUNCHER, [`${path}.words`], { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const status = await new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
  if (status !== 0) throw new Error(`the launcher ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Outcome;
}

/** The text of a file as bytes (latin1), empty where there is none. */
export function content(path: string): string {
  return existsSync(path) ? readFileSync(path, "latin1") : "";
}

/** Removes what a run wrote. */
export function tidy(path: string): void {
  for (const end of ["", ".words", ".stdout", ".stderr"]) rmSync(path + end, { force: true });
}

/** The number of a signal by its name without SIG. */
export function signalNumber(name: string): number {
  return constants.signals[`SIG${name}` as NodeJS.Signals];
}

/** Calls `work` for each item, two at a time. */
export async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all([worker(), worker()]);
}
