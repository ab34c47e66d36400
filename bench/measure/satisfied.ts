import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Data, NODE, PORTSHIM, TINI, type Times } from "../report/results.js";
import { type Bench, LAUNCHER, NODE26, run, SHIM } from "./bench.js";
import { type Commands, timer, timeSatisfied } from "./timer.js";

export const TRUE = "/bin/true";

// -s, or it warns that it is not process 1.
const OURS_AND_TINI: Commands = { [TINI]: ["tini", "-s", "--", TRUE], [PORTSHIM]: [LAUNCHER, "--", TRUE] };

/** A satisfied start against those of other programs. */
export function satisfied(bench: Bench): Data["satisfied"] {
  if (!existsSync(NODE26)) throw new Error("Node 26 is not installed: npm run nodes");
  const commands: Commands = {
    ...OURS_AND_TINI,
    true: [TRUE],
    "sh -c 'exec true' (dash)": ["dash", "-c", `exec ${TRUE}`],
    "dumb-init": ["dumb-init", TRUE],
    catatonit: ["catatonit", "--", TRUE],
    gosu: ["gosu", "0", TRUE],
    ...suExec(bench),
    [NODE]: [NODE26, "-e", "0"],
    "portshim --start=80": [LAUNCHER, "--start=80", "--", TRUE],
    "portshim, through npm's link": [join(SHIM, "portshim"), "--", TRUE],
  };
  return timeSatisfied(timer(bench), commands, bench.rounds(300));
}

/** No Debian package has it: the variable SU_EXEC names its source, su-exec.c. */
function suExec({ folder }: Bench): Commands {
  const source = process.env.SU_EXEC;
  if (!source) return {};
  const program = join(folder, "su-exec");
  // As its Makefile does for an image; musl, as in the Alpine that it is from.
  run(["musl-gcc", "-O2", "-static", "-o", program, source]);
  return { "su-exec": [program, "0", TRUE] };
}

/**
 * The medians of tini and portshim, by a number of something. In short turns, because each number needs surroundings of
 * its own.
 */
export function byNumber(
  bench: Bench,
  numbers: readonly number[],
  surroundings: (number: number) => Parameters<typeof timeSatisfied>[3],
  middle: (values: readonly number[]) => number,
): Readonly<Record<string, Times>> {
  const program = timer(bench);
  const found: Record<string, Record<string, number[]>> = Object.fromEntries(
    numbers.map((number) => [number, { [TINI]: [], [PORTSHIM]: [] }]),
  );
  for (let turn = bench.rounds(25); turn > 0; turn--) {
    for (const number of numbers) {
      const times = timeSatisfied(program, OURS_AND_TINI, 20, surroundings(number));
      for (const name of [TINI, PORTSHIM]) found[number]?.[name]?.push(middle(times[name] ?? []));
    }
  }
  return found;
}
