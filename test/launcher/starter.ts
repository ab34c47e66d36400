import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  constants as open,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { PORTSHIM as BUILT, DISPATCHER as BUILT_DISPATCHER, ROOT } from "../need.js";

/** One verb of starter.c (its table VERBS) with its values; strings are bytes (latin1). */
export type Step = readonly [verb: string, ...values: (string | number)[]];

/** What starter.c saw; times are nanoseconds of the monotonic clock, unless their name says otherwise. */
export interface Outcome {
  /** The command's exit status, -1 if a signal ended it. */
  readonly exit: number;
  /** The signal that ended it, or 0. */
  readonly signal: number;
  /** It was killed because it took too long. */
  readonly timedOut: number;
  readonly ms: number;
  /** The namespace's threshold at the end. */
  readonly threshold: number;
  readonly ended: number;
  /** When each signal was sent. */
  readonly signals: readonly number[];
  /**
   * For each of them 1 if not even a process 1 could lose it, because it had a handler, or a child just before and just
   * after, as the launcher has its helper; else 0.
   */
  readonly kept: readonly number[];
  /** Command lines of processes that remained three seconds after its end; none for a process 1, with which all end. */
  readonly survivors: readonly string[];
  /** What the terminal showed. */
  readonly screen: string;
}

/** A folder for this test file's programs and files, removed at its end; other users can enter it. */
export const PLACE = mkdtempSync(join(tmpdir(), "portshim-starter-"));
chmodSync(PLACE, 0o755);
process.on("exit", () => rmSync(PLACE, { recursive: true, force: true }));

const STARTER = join(PLACE, "starter");

/** The command that the tests start: probe.c. */
export const PROBE = join(PLACE, "probe");

/** A copy of the launcher with its helper, so that a build in the checkout does not change a running test. */
export const PORTSHIM = join(PLACE, "shim", "launcher", basename(BUILT));

/** The dispatcher for that launcher. */
export const DISPATCHER = join(PLACE, "shim", "portshim");

/** Compiles the two C programs, and copies the launcher and its helper. Call it before anything else here. */
export function prepare(): void {
  for (const [source, program] of [
    ["probe.c", PROBE],
    ["starter.c", STARTER],
  ] as const) {
    execFileSync("gcc", ["-O1", "-Wall", "-Wno-unused-result", "-o", program, join(ROOT, "test", "launcher", source)]);
  }
  cpSync(BUILT, PORTSHIM);
  cpSync(BUILT_DISPATCHER, DISPATCHER);
  cpSync(join(ROOT, "shim", "lib"), join(PLACE, "shim", "lib"), { recursive: true });
}

/** The ordinary user of the tests. */
export const USER = 65534;

/**
 * Steps that make any machine the same plain host: nothing declares a threshold, and the lock's folders belong to the
 * run.
 */
export const PLAIN: readonly Step[] = [
  ...["/run", "/etc/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"]
    .filter((path) => existsSync(path))
    .map((path): Step => ["empty", path]),
  ...["/etc/sysctl.conf"].filter((path) => existsSync(path)).map((path): Step => ["bind", "/dev/null", path]),
  ...[0, USER].map((uid): Step => ["folder", `/run/user/${uid}`, uid]),
];

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

/** Runs starter.c; its words are put into the file `path`. */
export async function observe(path: string, steps: readonly Step[]): Promise<Outcome> {
  const words = steps.flatMap((step) => step.map(String)).map((word) => `${word}\0`);
  writeFileSync(`${path}.words`, Buffer.from(words.join(""), "latin1"));
  const child = spawn(STARTER, [`${path}.words`], { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const status = await new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
  if (status !== 0) throw new Error(`the starter ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Outcome;
}

/** A file's bytes (latin1), empty if there is none. */
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
