import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "./lab.js";

/** How a script in the toolbox ended; `status` is the shell's, 128+N for signal N. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A shell in the toolbox that stays open. */
export interface Box {
  /** Starts a script of sh; several can run at once. `$report` in it is the start of a path for files of its own. */
  start(script: string): Script;
  /** Ends the shell. */
  stop(): Promise<void>;
}

/** A script that runs in the toolbox. */
export interface Script {
  /** The path of its report on this machine. */
  readonly report: string;
  /** Waits until it has ended. */
  ended(timeout?: number): Promise<Ended>;
}

/** Runs what it is told by number, until it is told nothing. */
const LOOP = `
  mkfifo "$1/jobs" && exec 3<>"$1/jobs" || exit
  echo ready
  while read -r job <&3 && [ "$job" ]; do
    # Not our child, whom nobody would wait for.
    ( (
      export report="$1/$job"
      sh "$report.sh" >"$report.out" 2>"$report.err" 3<&-
      echo $? >"$report.status"
    ) & )
  done
`;

let boxes = 0;

/** Opens one: to enter the toolbox anew takes half a second, five times as long as portshim needs. */
export async function openBox(lab: Lab): Promise<Box> {
  const folder = `/tmp/box.${++boxes}`;
  await lab.asUser(["mkdir", folder]);
  const loop = await lab.spawn("toolbox", ["sh", "-c", LOOP, "sh", folder]);
  await loop.waitFor(/ready/);
  const tell = (word: string) => appendFileSync(`${lab.root}${folder}/jobs`, `${word}\n`);
  let jobs = 0;
  return {
    start(script) {
      const job = ++jobs;
      const report = `${lab.root}${folder}/${job}`;
      const read = (name: string) => readFileSync(`${report}.${name}`, "utf8");
      writeFileSync(`${report}.sh`, script);
      tell(`${job}`);
      return {
        report,
        ended: async (timeout = 30_000) => {
          const deadline = Date.now() + timeout;
          while (!existsSync(`${report}.status`) || !read("status").endsWith("\n")) {
            if (Date.now() > deadline) throw new Error(`${script}: still running after ${timeout} ms: ${read("err")}`);
            await sleep(5);
          }
          return { status: Number(read("status")), stdout: read("out"), stderr: read("err") };
        },
      };
    },
    stop: async () => {
      tell("");
      await loop.exited;
    },
  };
}
