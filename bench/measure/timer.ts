import { join } from "node:path";
import type { Times } from "../report/results.js";
import { type Bench, ROOT, run, SETTING_FILE } from "./bench.js";

/** Commands by name. */
export type Commands = Readonly<Record<string, readonly string[]>>;

const WARM_UP = 5;

/** timer.c, compiled, static: it runs in the lab as well. */
export function timer({ folder }: Bench): string {
  const program = join(folder, "timer");
  run(["gcc", "-O2", "-static", "-o", program, join(ROOT, "bench", "timer.c")]);
  return program;
}

/** The timer's command that times these; the first rounds warm up, and timesOf() leaves them out. */
export function timerCommand(program: string, commands: Commands, rounds: number, warmUp = WARM_UP): string[] {
  const words = Object.values(commands).flatMap((argv, at) => (at === 0 ? argv : [",", ...argv]));
  return [program, String(rounds + warmUp), ...words];
}

/** What the timer printed. */
export function timesOf(printed: string, commands: Commands, warmUp = WARM_UP): Times {
  const rounds = printed.trim().split("\n").slice(warmUp);
  return byName(
    Object.keys(commands),
    rounds.map((line) => line.split(" ").map((nanoseconds) => Number(nanoseconds) / 1e6)),
  );
}

/** Rows of numbers, in the names' order, by name. To a hundred nanoseconds. */
export function byName(names: readonly string[], rows: readonly (readonly number[])[]): Times {
  return Object.fromEntries(names.map((name, at) => [name, rows.map((row) => Number((row[at] as number).toFixed(4)))]));
}

/** Where and how commands are timed. */
interface Surroundings {
  /** Shell commands to run first. */
  readonly before?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** To search the PATH would be a cost that only those have that are found there. */
function absolute(commands: Commands): Commands {
  const path = (program: string) => run(["sh", "-c", 'command -v "$1"', "sh", program]).trim();
  return Object.fromEntries(
    Object.entries(commands).map(([name, [program = "", ...rest]]) => [name, [path(program), ...rest]]),
  );
}

/** Times commands in a network and a mount namespace of their own, where there is nothing to do. */
export function timeSatisfied(
  program: string,
  commands: Commands,
  rounds: number,
  { before = [], env }: Surroundings = {},
): Times {
  const script = `${[`echo 80 > ${SETTING_FILE}`, ...before].join(" && ")} && exec "$@"`;
  const argv = [
    "unshare",
    "--net",
    "--mount",
    "sh",
    "-c",
    script,
    "sh",
    ...timerCommand(program, absolute(commands), rounds),
  ];
  return timesOf(run(argv, env ? { cwd: "/", env } : { cwd: "/" }), commands);
}
