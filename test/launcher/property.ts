import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { pathWith } from "../namespace.js";
import type { NODE_VERSIONS } from "../need.js";
import {
  content,
  each,
  newPath,
  OPEN,
  observe,
  PLACE,
  PLAIN,
  PORTSHIM,
  PROBE,
  type Step,
  signalNumber,
  streams,
  tidy,
  USER,
} from "./starter.js";

/** A property of a process, and how to give it to one. */
export interface Property {
  steps?: readonly Step[];
  /** The same for the bare start, if it differs: there is no helper there to wait for. */
  bareSteps?: readonly Step[];
  /** The command's arguments, as bytes. */
  args?: readonly string[];
  /** The whole environment, the strings as in memory; default: PATH and one more. */
  env?: readonly string[];
  /** The probe's mode. */
  mode?: string;
  /** The only path on which it makes sense. */
  only?: Path;
}

type Path = "fast" | "slow";
type Report = Record<string, unknown> & { argv: string[]; environment: string[]; pid: number };

/** How a start is done; every property is tried in each of these situations. */
interface Situation {
  path: Path;
  version?: (typeof NODE_VERSIONS)[number];
  /** Be process 1. */
  first?: boolean;
  /** The command that is portshim; default: the launcher. */
  portshim?: readonly string[];
}

const RLIMIT = { CPU: 0, FSIZE: 1, DATA: 2, STACK: 3, CORE: 4, NPROC: 6, NOFILE: 7, MEMLOCK: 8, AS: 9, SIGPENDING: 11 };
const UNLIMITED = -1;
/** All that a process can ignore or block; the C library uses 32 and 33. */
const SIGNALS = Array.from({ length: 64 }, (_, i) => i + 1).filter((n) => ![9, 19, 32, 33].includes(n));
const EVERY_BYTE = String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1));
/** Ends with what a shell script needs: the dispatcher. */
const SYSTEM = "/usr/bin:/bin";
const PATH = `PATH=${pathWith(26)}:${SYSTEM}`;
/** A file to read. */
const file = join(PLACE, "input");
writeFileSync(file, "0123456789\nsecond\nthird\n", { mode: 0o644 });

const ODD_ARGS = [
  "a b",
  "two\nlines\n",
  "'",
  '"',
  "`id`",
  "$HOME",
  "\\",
  "\\n",
  "*",
  "",
  "-n",
  "--",
  "-",
  "--start=1",
  "",
];
const ODD_ENV = ["a.b=1", "a-b=2", "1x=3", "A=", "plain=x", "lines=a\nb\n\n", "quotes='\"`$(id)", "percent=%s%%\\n"];

const ignoring = (...names: string[]) => names.map((name): Step => ["ignore", signalNumber(name)]);
const blocking = (...names: string[]) => names.map((name): Step => ["block", signalNumber(name)]);

/** Every property that a process keeps over exec, by name. */
export const PROPERTIES: Readonly<Record<string, Property>> = {
  nothing: {},
  "odd arguments": { args: ODD_ARGS },
  "no argument": { args: [] },
  "every byte in an argument": { args: [EVERY_BYTE, "\xff\xfe", "\xc3", "caf\xe9", "\x81\x82\x88"] },
  "200 kB of arguments": { args: Array.from({ length: 2000 }, (_, i) => `${i} ${"x".repeat(95)}`) },
  "one argument of 128 kB": { args: ["x".repeat(128 * 1024 - 1)] },
  "variables with odd names": { env: [PATH, ...ODD_ENV] },
  "every byte in a variable": { env: [PATH, `bytes=${EVERY_BYTE}`, "UTF=\xff\xfe\xc3"] },
  "every byte in a variable, and an odd name": { env: [PATH, `bytes=${EVERY_BYTE}`, "UTF=\xff\xfe\xc3", "a.b=1"] },
  "odd bytes in names": {
    env: [PATH, "\xff=1", "a\x81b=2", "a b=3", "a'b=4", 'a"b=5', "a$b=6", "a\\b=7", "a\tb=8", "a*=9"],
  },
  "a name that starts with a dash": { env: [PATH, "-u=1", "--help=2", "-=3", "--=4"] },
  "an empty name": { env: [PATH, "=1"] },
  "a line in a name": { env: [PATH, "a\nb=1", "A=1"] },
  "a variable without =": { env: [PATH, "lonely", "A=1", ""] },
  "a variable twice": { env: [PATH, "A=1", "A=2"] },
  "a line that looks like a variable in a value": { env: [PATH, "X=a\nSHLVL=7\nb", "Y=a=1\nb=2"] },
  "shell's own variables": {
    env: [
      PATH,
      "IFS=x",
      "PPID=7",
      "OPTIND=9",
      "OPTARG=a",
      "self=s",
      "LINENO=5",
      "PS1=p",
      "PS2=q",
      "PS4=r",
      "MAIL=m",
      "ENV=/e",
    ],
  },
  "options as variables": {
    env: [PATH, "PORTSHIM_START=80", "PORTSHIM_OPTIONAL=1", "PORTSHIM_QUIET=0"],
  },
  "PWD right": { env: [PATH, "PWD=/etc"], steps: [["cwd", "/etc"]] },
  "PWD stale": { env: [PATH, "PWD=/nowhere", "OLDPWD=/etc"], steps: [["cwd", "/etc"]] },
  "PWD by another name": { env: [PATH, "PWD=/proc/self/cwd"], steps: [["cwd", "/etc"]] },
  "PWD with odd bytes": { env: [PATH, "PWD=/tmp/a\nb", "OLDPWD="], steps: [["cwd", "/"]] },
  "PWD empty": { env: [PATH, "PWD="] },
  SHLVL: { env: [PATH, "SHLVL=3", "_=/usr/bin/x"] },
  "a function of bash's": { env: [PATH, "BASH_FUNC_x%%=() {  echo hello\n}"] },
  "100 kB of environment": {
    env: [PATH, ...Array.from({ length: 1000 }, (_, i) => `variable_${i}=${"y".repeat(88)}`)],
  },
  "one variable": { env: [PATH] },
  // portshim finds Node by it.
  "no PATH": { env: ["A=1"], only: "fast" },
  "no variable": { env: [], only: "fast" },
  "PATH empty": { env: ["PATH="], only: "fast" },
  "odd locale": { env: [PATH, "LC_ALL=xx_YY.nonsense", "LANG=\xff"] },
  "UTF-8 locale": { env: [PATH, "LC_ALL=C.UTF-8", "a.b=\xff\xc3\xa9"], args: ["\xff", "\xc3\xa9"] },
  "Node's variables": {
    env: [PATH, `NODE_OPTIONS=--require=${PLACE}/absent.js`, "NODE_ENV=production", "NODE_PATH=/x"],
  },
  LISTEN_FDS: {
    env: [PATH, "LISTEN_FDS=2", "LISTEN_PID=2", "LISTEN_FDNAMES=a:b"],
    steps: [
      ["open", 3, file, OPEN.read],
      ["open", 4, "/dev/zero", OPEN.append],
    ],
  },
  "descriptors all over": {
    steps: [5, 7, 9, 10, 11, 12, 15, 19, 20, 63, 100, 254, 255].map((fd): Step => ["open", fd, "/dev/zero", OPEN.read]),
  },
  ...Object.fromEntries(
    [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]].map((closed): [string, Property] => [
      `descriptors closed: ${closed}`,
      { steps: closed.map((fd): Step => ["close", fd]) },
    ]),
  ),
  "stdin a file at an offset": {
    steps: [
      ["open", 0, file, OPEN.read],
      ["seek", 0, 5],
    ],
    mode: "drain",
  },
  "stdin a pipe": { steps: [["fill", 0, "first\nsecond\nlast"]], mode: "drain" },
  "stdin a terminal": {
    steps: [["terminal"], ["type", "ready> ", "hello\n"]],
    mode: "line",
  },
  nohup: { steps: ignoring("HUP") },
  "every signal ignored": { steps: SIGNALS.map((n): Step => ["ignore", n]) },
  "every signal blocked": { steps: SIGNALS.map((n): Step => ["block", n]) },
  "CHLD ignored": { steps: ignoring("CHLD") },
  "CHLD blocked": { steps: blocking("CHLD") },
  "CHLD ignored and blocked": { steps: [...ignoring("CHLD"), ...blocking("CHLD")] },
  "CHLD ignored and pending": { steps: [...blocking("CHLD"), ...ignoring("CHLD"), ["pend", signalNumber("CHLD")]] },
  "CHLD pending": { steps: [...blocking("CHLD"), ["pend", signalNumber("CHLD")]] },
  "USR1 and WINCH ignored": { steps: ignoring("USR1", "WINCH") },
  "USR1 and WINCH blocked": { steps: blocking("USR1", "WINCH") },
  "PIPE and INT ignored": { steps: ignoring("PIPE", "INT") },
  "TERM and INT blocked": { steps: blocking("TERM", "INT") },
  "signals pending": {
    steps: [...["HUP", "TERM", "USR1", "WINCH"].map(signalNumber), 40].flatMap((n): Step[] => [
      ["block", n],
      ["pend", n],
    ]),
  },
  "few descriptors": { steps: [["limit", RLIMIT.NOFILE, 64, 128]] },
  "very few descriptors": { steps: [["limit", RLIMIT.NOFILE, 20, 4096]] },
  "few processes": { steps: [["limit", RLIMIT.NPROC, 200, 300]] },
  "small stack": { steps: [["limit", RLIMIT.STACK, 512 * 1024, 1024 * 1024]] },
  "endless stack": { steps: [["limit", RLIMIT.STACK, UNLIMITED, UNLIMITED]] },
  "other limits": {
    steps: [
      ["limit", RLIMIT.CORE, 0, 4096],
      ["limit", RLIMIT.CPU, 1000, 2000],
      ["limit", RLIMIT.FSIZE, 1 << 20, 1 << 30],
      ["limit", RLIMIT.MEMLOCK, 4096, 8192],
      ["limit", RLIMIT.SIGPENDING, 50, 60],
    ],
  },
  "nice, and other ways to be scheduled": {
    steps: [
      ["nice", 5],
      ["ioprio", (2 << 13) | 6],
      ["affinity", 0],
    ],
  },
  "scheduled in batches": { steps: [["scheduler", 3, 0]] },
  "scheduled in real time": { steps: [["scheduler", 1, 5]] },
  umask: { steps: [["umask", 0o077]] },
  "umask of everything": { steps: [["umask", 0o777]] },
  "folder deleted": { steps: [["gone", "FILE.gone"]] },
  "folder deleted, PWD stale": {
    steps: [["gone", "FILE.gone"]],
    env: [PATH, "PWD=FILE.gone"],
  },
  "no new privileges": { steps: [["prctl", 38, 1]] },
  "few capabilities": {
    steps: [
      ["bounding", 0x1400],
      ["caps", 0x1400, 0x1400, 0x1000],
      ["ambient", 12],
    ],
  },
  "other securebits": { steps: [["prctl", 28, 0x2c]] },
  oom_score_adj: { steps: [["oom", 300]] },
  "personality without randomness": { steps: [["personality", 0x0040000]] },
  "timer slack": { steps: [["prctl", 29, 77777]] },
  "huge pages off": { steps: [["prctl", 41, 1]] },
  "a child subreaper": { steps: [["prctl", 36, 1]] },
  "a signal at the parent's death": { steps: [["prctl", 1, signalNumber("USR2")]] },
  "an alarm set": { steps: [["alarm", 5500]] },
  "a session of its own": { steps: [["session"]] },
  "a process group of its own": { steps: [["group"]] },
  locks: {
    steps: [
      ["open", 6, "FILE.stdout", OPEN.append],
      ["lock", 6],
    ],
  },
  "a child that lives": { steps: [["child", 1]] },
  ...Object.fromEntries(
    Object.entries({
      "": [],
      ", CHLD ignored": ignoring("CHLD"),
      ", CHLD blocked": blocking("CHLD"),
      ", CHLD ignored and blocked": [...ignoring("CHLD"), ...blocking("CHLD")],
    }).flatMap(([name, steps]): [string, Property][] => [
      [`a child that is dead${name}`, { steps: [...steps, ["child", 0]] }],
      [
        `a child that dies while the helper runs${name}`,
        { only: "slow", steps: [...steps, ["child", 2]], bareSteps: [...steps, ["child", 0]] },
      ],
    ]),
  ),
  "an ordinary user": {
    steps: [
      ["prctl", 28, 0x10],
      ["user", USER],
      // NET_ADMIN to set the threshold; DAC_READ_SEARCH, because the links to Node are in a folder that is closed to
      // others.
      ["caps", 0x1004, 0x1004, 0x1004],
      ["ambient", 12],
      ["ambient", 2],
    ],
  },
};

/** As many of them together as possible, if trying each would take too long. */
export const EVERYTHING: Property = {
  args: [...ODD_ARGS, EVERY_BYTE, "x".repeat(100_000), "y".repeat(100_000)],
  env: [PATH, ...ODD_ENV, `bytes=${EVERY_BYTE}`, "LISTEN_FDS=1", "SHLVL=4", "PWD=/nowhere", "NODE_OPTIONS=--frob"],
  steps: [
    ["open", 0, file, OPEN.read],
    ["seek", 0, 7],
    ["open", 3, "/dev/zero", OPEN.read],
    ["open", 12, "/dev/zero", OPEN.append],
    ["umask", 0o027],
    ["limit", RLIMIT.NOFILE, 100, 200],
    ["limit", RLIMIT.CORE, 0, 0],
    ["nice", 5],
    ["oom", 500],
    ["ignore", signalNumber("PIPE")],
    ["ignore", signalNumber("HUP")],
    ["prctl", 29, 60000],
    ["prctl", 38, 1],
  ],
  mode: "drain",
};

/** The situations in which every property must be preserved: both paths, and as process 1, too. */
export const SITUATIONS: readonly Situation[] = [false, true].flatMap((first): Situation[] => [
  { path: "fast", first },
  { path: "slow", first },
]);

async function start(property: Property, situation: Situation | undefined, first = false) {
  const { steps = [], args = ["argument"], mode = "report", env = [PATH, "A=1"] } = property;
  const path = newPath();
  /** In a property FILE stands for the path of this run. */
  const own = <T>(word: T) => (typeof word === "string" ? word.replace("FILE", path) : word) as T;
  writeFileSync(path, "");
  chmodSync(path, 0o666);
  const portshim = situation ? [...(situation.portshim ?? [PORTSHIM]), "--"] : [];
  const version = situation?.version;
  const variables = version
    ? env.map((entry) => (entry === PATH ? `PATH=${pathWith(version)}:${SYSTEM}` : entry))
    : env;
  const outcome = await observe(path, [
    ...PLAIN,
    ["threshold", situation?.path === "slow" ? 1024 : 80],
    ...(first ? [["first"] as const] : []),
    ...streams(path),
    ["cwd", "/"],
    ...steps.map((step) => step.map(own) as unknown as Step),
    ...[...portshim, PROBE, mode, path, ...args].map((arg): Step => ["arg", arg]),
    ...variables.map((entry): Step => ["env", own(entry)]),
  ]);
  const written = content(path);
  const result = {
    outcome,
    report: written ? (JSON.parse(written) as Report) : undefined,
    stdout: content(`${path}.stdout`),
    stderr: content(`${path}.stderr`),
    path,
  };
  tidy(path);
  return result;
}

type Result = Awaited<ReturnType<typeof start>>;

const bares = new Map<string, Promise<Result>>();

function bare(property: Property, { first = false }: Situation): Promise<Result> {
  const alone = { ...property, steps: property.bareSteps ?? property.steps ?? [] };
  const key = `${JSON.stringify([alone.args, alone.env, alone.steps])} ${first}`;
  const known = bares.get(key) ?? start(alone, undefined, first);
  bares.set(key, known);
  return known;
}

/** How a start through portshim differs from one without it; empty if it does not. */
export async function differences(property: Property, situation: Situation): Promise<string[]> {
  const [without, through] = [await bare(property, situation), await start(property, situation, situation.first)];
  if (!without.report) return [`the command alone failed: ${JSON.stringify(without)}`];
  if (!through.report) return [`it did not start: ${through.stderr}${JSON.stringify(through.outcome)}`];
  const found: string[] = [];
  const [one, other] = [comparable(without, situation), comparable(through, situation)];
  for (const part of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const [a, b] = [JSON.stringify(one[part]), JSON.stringify(other[part])];
    if (a !== b) found.push(`${part}: ${shortest(one[part], other[part])}`);
  }
  if (situation.path === "slow" && through.outcome.threshold === 1024) found.push("the helper did not run");
  const unexpected =
    situation.path === "fast" ? through.stderr : through.stderr.replace(/^(portshim: | {4}|or, with ).*\n/gm, "");
  if (unexpected !== "") found.push(`stderr: ${unexpected}`);
  if (through.stdout !== without.stdout) found.push(`stdout: ${through.stdout}`);
  if (through.outcome.exit !== without.outcome.exit) found.push(`status: ${through.outcome.exit}`);
  return found;
}

function comparable({ report, path, outcome }: Result, { path: way, version }: Situation): Record<string, unknown> {
  const parts: Record<string, unknown> = {
    ...(report as Report),
    screen: outcome.screen.replace(/^portshim.*\r\n( {4}.*\r\n)*/gm, ""),
  };
  // The fast path does not even use up a process id.
  if (way === "slow") delete parts.last_pid;
  // /proc/locks can list one twice while others come and go.
  parts.locks = [...new Set(parts.locks as string[])];
  // portshim's own messages went there.
  const { 2: stderr } = parts.descriptors as Record<string, { offset?: number }>;
  if (stderr) delete stderr.offset;
  return JSON.parse(
    JSON.stringify(parts)
      .replaceAll(path, "FILE")
      .replaceAll(pathWith(version ?? 26), pathWith(26))
      .replace(/(pipe|socket):\[\d+\]/g, "$1")
      .replace(/\/dev\/pts\/\d+/g, "/dev/pts")
      .replace(/ [\da-f]+:[\da-f]+:\d+ 0 EOF/g, ""),
  );
}

function shortest(one: unknown, other: unknown): string {
  if (Array.isArray(one) && Array.isArray(other)) {
    const [lost, added] = [one.filter((x) => !other.includes(x)), other.filter((x) => !one.includes(x))];
    if (lost.length + added.length > 0) return `lost ${cut(lost)}, added ${cut(added)}`;
  } else if (one && other && typeof one === "object" && typeof other === "object") {
    const [a, b] = [one as Record<string, unknown>, other as Record<string, unknown>];
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const changed = keys.filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
    return changed.map((key) => `${key}: ${cut(a[key])} became ${cut(b[key])}`).join("; ");
  }
  return `${cut(one)} became ${cut(other)}`;
}

function cut(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 400 ? `${text.slice(0, 300)}… (${text.length})` : text;
}

/** Fails if portshim changes the property in any of these situations. */
export async function same(property: Property, situations: readonly Situation[]): Promise<void> {
  const possible = situations.filter(({ path }) => property.only === undefined || path === property.only);
  const all: string[] = [];
  await each(possible, async (situation) => {
    for (const difference of await differences(property, situation)) all.push(`${nameOf(situation)}: ${difference}`);
  });
  assert.is(all.sort().join("\n"), "");
}

function nameOf({ path, version, first }: Situation): string {
  return [path, ...(version ? [`Node ${version}`] : []), ...(first ? ["as process 1"] : [])].join(", ");
}
