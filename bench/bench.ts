import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { machine, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { unsatisfied } from "./unsatisfied.js";

// Times the satisfied start, in network and mount namespaces of its own, and the unsatisfied one, in the tests' lab.
// Needs root on Linux, gcc, and the Debian packages tini, dumb-init, catatonit, gosu. `npm run bench [ROUNDS]`. The
// environment and the drop-ins are this machine's.

const HERE = resolve(__dirname, "..");
const SHIM = join(HERE, "..", "shim");
const PORTSHIM = join(SHIM, "launcher", `portshim-${machine()}`);
const TRUE = "/bin/true";
const SETTING_FILE = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const [rounds = 300] = process.argv.slice(2).map(Number);

const folder = mkdtempSync(join(tmpdir(), "portshim-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const timer = join(folder, "timer");
must(spawnSync("gcc", ["-O2", "-o", timer, join(HERE, "timer.c")], { encoding: "utf8" }));

const node = join(HERE, "../test/nodes/node_modules/node26/bin/node");
if (!existsSync(node)) throw new Error("Node 26 is not installed: npm run nodes");

interface Contender {
  readonly name: string;
  readonly argv: readonly string[];
}

// -s, or it warns that it is not process 1.
const TINI: Contender = { name: "tini -s", argv: ["tini", "-s", "--", TRUE] };
const OURS: Contender = { name: "portshim", argv: [PORTSHIM, "--", TRUE] };
const CONTENDERS: readonly Contender[] = [
  TINI,
  { name: "true", argv: [TRUE] },
  { name: "sh -c 'exec true' (dash)", argv: ["dash", "-c", `exec ${TRUE}`] },
  { name: "dumb-init", argv: ["dumb-init", TRUE] },
  { name: "catatonit", argv: ["catatonit", "--", TRUE] },
  { name: "gosu", argv: ["gosu", "0", TRUE] },
  { name: "node -e 0 (v26)", argv: [node, "-e", "0"] },
  OURS,
  { name: "portshim --start=80", argv: [PORTSHIM, "--start=80", "--", TRUE] },
  { name: "portshim, through npm's dispatcher", argv: [join(SHIM, "portshim"), "--", TRUE] },
];

/** A sysctl.d tree with this many drop-ins of three lines each. */
function dropIns(count: number): string {
  const tree = join(folder, `drop-ins-${count}`);
  mkdirSync(tree);
  for (let i = 0; i < count; i++) {
    writeFileSync(join(tree, `${i}.conf`), `# drop-in ${i}\nnet.core.somaxconn = 4096\nvm.swappiness=${i % 100}\n`);
  }
  return tree;
}

/**
 * Shell commands that put this tree into /etc/sysctl.d, and leave no other drop-in: neither in /usr/lib, nor below
 * /run/host, where some machines have each of their files again.
 */
const show = (tree: string) => [
  "mount -t tmpfs tmpfs /run",
  `mount --bind ${tree} /etc/sysctl.d`,
  "mount -t tmpfs tmpfs /usr/lib/sysctl.d",
];

/** Nanoseconds by round and contender; `before` are shell commands to run first. */
function time(contenders: readonly Contender[], count: number, before: readonly string[] = []): number[][] {
  const commands = contenders.flatMap(({ argv }, at) => (at === 0 ? argv : [",", ...argv]));
  const script = `${[`echo 80 > ${SETTING_FILE}`, ...before].join(" && ")} && exec "$@"`;
  const argv = ["--net", "--mount", "sh", "-c", script, "sh", timer, String(count + 5), ...commands];
  const { stdout } = must(spawnSync("unshare", argv, { encoding: "utf8", cwd: "/", maxBuffer: 1 << 28 }));
  // The first rounds warm up.
  return stdout
    .trim()
    .split("\n")
    .slice(5)
    .map((line) => line.split(" ").map(Number));
}

function must<T extends { status: number | null; stderr: string }>(result: T): T {
  if (result.status !== 0) throw new Error(result.stderr || `status ${result.status}`);
  return result;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** The median and the quartiles, as a table's cell. */
function cell(ratios: readonly number[]): string {
  return `${quantile(ratios, 0.5).toFixed(2)} (${quantile(ratios, 0.25).toFixed(2)}–${quantile(ratios, 0.75).toFixed(2)})`;
}

const floors: [what: string, value: number, most: number][] = [];

console.log(`Whole processes, ${rounds} rounds in turn; per round the ratio to tini's time; median (quartiles).\n`);
console.log("| start of `true` through | × `tini -s` |\n|---|---|");
const all = time(CONTENDERS, rounds);
for (const [at, { name }] of CONTENDERS.entries()) {
  console.log(`| ${name} | ${cell(all.map((round) => (round[at] as number) / (round[0] as number)))} |`);
}
const ratio = (a: string, b: string) => {
  const [x, y] = [a, b].map((name) => CONTENDERS.findIndex((contender) => contender.name === name));
  return all.map((round) => (round[x as number] as number) / (round[y as number] as number));
};
floors.push(["portshim / tini -s", quantile(ratio(OURS.name, TINI.name), 0.5), 0.8]);
floors.push(["portshim / node -e 0", quantile(ratio(OURS.name, "node -e 0 (v26)"), 0.5), 1 / 15]);

console.log("\n| drop-ins in /etc/sysctl.d | × `tini -s` | × that of 10 |\n|---|---|---|");
const trees = [0, 10, 100, 1000].map((count) => ({ count, tree: dropIns(count), ratios: [] as number[] }));
// In short turns, because each tree needs a mount namespace of its own.
const turns = 15;
for (let turn = 0; turn < turns; turn++) {
  for (const { tree, ratios } of trees) {
    const times = time([TINI, OURS], Math.ceil(rounds / turns), show(tree));
    ratios.push(
      quantile(
        times.map(([tini = 1, ours = 1]) => ours / tini),
        0.5,
      ),
    );
  }
}
const ten = trees.find(({ count }) => count === 10)?.ratios ?? [];
for (const { count, ratios } of trees) {
  const toTen = ratios.map((value, turn) => value / (ten[turn] ?? 1));
  console.log(`| ${count} | ${cell(ratios)} | ${cell(toTen)} |`);
  if (count === 1000) floors.push(["1,000 drop-ins / 10", quantile(toTen, 0.5), 7.0]);
}

async function unsatisfiedStart(): Promise<void> {
  const turns = await unsatisfied(Math.ceil(rounds / 8));
  const column = (of: (round: (typeof turns)[number]) => number) => cell(turns.map((turn) => of(turn) / bare(turn)));
  const bare = ({ spawn, node: time }: (typeof turns)[number]) => spawn + time;
  console.log("\n| unsatisfied start, in a toolbox, polkit says yes | × by hand |\n|---|---|");
  console.log("| by hand: `flatpak-spawn --host pkexec sysctl -w …`, then `node -e 0` | 1.00 |");
  console.log(`| of which the first | ${column(({ spawn }) => spawn)} |`);
  console.log(`| \`portshim --start=80 -- true\` | ${column(({ portshim }) => portshim)} |`);
  floors.push([
    "unsatisfied / by hand",
    quantile(
      turns.map((turn) => turn.portshim / bare(turn)),
      0.5,
    ),
    1.5,
  ]);
}

function sumUp(): void {
  console.log("\n| floor | is | at most |\n|---|---|---|");
  for (const [what, value, most] of floors) {
    console.log(`| ${what} | ${value.toFixed(3)} | ${most.toFixed(3)}${value > most ? " MISSED" : ""} |`);
  }
  process.exitCode = floors.some(([, value, most]) => value > most) ? 1 : 0;
}

unsatisfiedStart().then(sumUp);
