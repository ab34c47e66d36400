import { dirname } from "node:path";
import { type Data, PORTSHIM, SERVER } from "../report/results.js";
import { type Bench, LAUNCHER, NODE26, run, SETTING_FILE } from "./bench.js";

const SLEEP = ["/bin/sleep", "1000"];

/** The arguments are the rounds and the starters; each has `argv` and the threshold that it finds. Prints lines of JSON. */
const SCRIPT = `
  const { spawn } = require("child_process");
  const { readFileSync, writeFileSync } = require("fs");
  const [rounds, starters] = process.argv.slice(1).map((text) => JSON.parse(text));
  const read = (pid, file) => { try { return readFileSync("/proc/" + pid + "/" + file, "utf8"); } catch { return ""; } };
  const tree = (pid) => [pid, ...read(pid, "task/" + pid + "/children").trim().split(" ").filter(Boolean).flatMap(tree)];
  const isSleep = (pid) => read(pid, "cmdline") === ${JSON.stringify(`${SLEEP.join("\0")}\0`)};
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const measure = async ({ argv, threshold }) => {
    writeFileSync("${SETTING_FILE}", String(threshold));
    const child = spawn(argv[0], argv.slice(1), { stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    let failed;
    child.on("error", (error) => { failed = error; });
    while (!failed && child.exitCode === null && !tree(child.pid).some(isSleep)) await sleep(2);
    if (failed || child.exitCode !== null) throw new Error(argv.join(" ") + ": " + (failed || child.exitCode));
    // Until the C library has started it.
    await sleep(50);
    const pids = tree(child.pid);
    // What is no other process's: shares of a library vary with whoever else uses it.
    const own = (pid) => [...read(pid, "smaps_rollup").matchAll(/^Private_(?:Clean|Dirty): +(\\d+)/gm)];
    const kilobytes = pids.map((pid) => own(pid).reduce((sum, [, value]) => sum + Number(value), 0));
    for (const pid of pids.reverse()) process.kill(pid, "SIGKILL");
    await ended;
    return [kilobytes.reduce((sum, value) => sum + value, 0), pids.length - 1];
  };
  (async () => {
    for (let round = 0; round < rounds; round++) {
      const line = [];
      for (const starter of starters) line.push(await measure(starter));
      console.log(JSON.stringify(line));
    }
  })();
`;

/** What is left of a start in memory once the server runs. */
export function memory(bench: Bench): Data["memory"] {
  const starters: Record<string, { argv: readonly string[]; threshold: number }> = {
    [SERVER]: { argv: SLEEP, threshold: 80 },
    [PORTSHIM]: { argv: [LAUNCHER, "--", ...SLEEP], threshold: 80 },
    // As root in a network namespace of its own it writes the setting, by Node.
    [`${PORTSHIM}, which had to lower the threshold`]: {
      argv: [LAUNCHER, "--start=80", "--", ...SLEEP],
      threshold: 1024,
    },
    "tini -s": { argv: ["tini", "-s", "--", ...SLEEP], threshold: 80 },
    "dumb-init": { argv: ["dumb-init", ...SLEEP], threshold: 80 },
    catatonit: { argv: ["catatonit", "--", ...SLEEP], threshold: 80 },
    gosu: { argv: ["gosu", "0", ...SLEEP], threshold: 80 },
  };
  // Without random addresses: how many pages a stack or a heap touches depends on where it begins.
  const own = [
    "setarch",
    "--addr-no-randomize",
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
  ];
  const env = { ...process.env, PATH: `${dirname(NODE26)}:${process.env.PATH}` };
  const argv = [...own, NODE26, "-e", SCRIPT, String(bench.rounds(30)), JSON.stringify(Object.values(starters))];
  const rounds = run(argv, { env })
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as [number, number][]);
  return Object.fromEntries(
    Object.keys(starters).map((name, at) => {
      const [kilobytes, others] = [0, 1].map((field) => rounds.map((round) => round[at]?.[field] ?? Number.NaN));
      return [name, { kilobytes: kilobytes as number[], others: Math.max(...(others as number[])) }];
    }),
  );
}
