import { spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import {
  content,
  each,
  glance,
  launch,
  newPath,
  OPEN,
  PLACE,
  PORTSHIM,
  PROBE,
  prepare,
  SHELLS,
  type Step,
  signalNumber,
  streams,
  tidy,
  UNDECLARED,
} from "./launcher.js";
import { pathWith } from "./namespace.js";
import { NODE_VERSIONS } from "./need.js";
import { suite } from "./suite.js";

const test = suite("transparency", "root", "shells", "compiler", "nodes");
test.before(prepare);

/** Try every property as process 1 and with every Node, too. */
const FULL = process.env.FULL === "1";

/** A property of a process, and how to give it to one. */
interface Property {
  steps?: readonly Step[];
  /** The command's arguments, as bytes. */
  args?: readonly string[];
  /** The whole environment, strings as they lie in memory; default: PATH and one more. */
  env?: readonly string[];
  /** The probe's mode. */
  mode?: string;
  /** What may stand on stderr besides portshim's own sentences: a shell's own complaint. */
  noise?: RegExp;
  /** The path on which alone it makes sense. */
  only?: Path;
  /** Differences that no shell script can mend, each with the reason as a comment where it is given. */
  lost?: readonly RegExp[];
}

type Path = "fast" | "slow";
type Report = Record<string, unknown> & { argv: string[]; environment: string[]; pid: number; last_pid: string };

/** How one start is done: every property comes in every such situation. */
interface Situation {
  shell: string;
  path: Path;
  version?: (typeof NODE_VERSIONS)[number];
  /** Be process 1. */
  first?: boolean;
}

const RLIMIT = { CPU: 0, FSIZE: 1, DATA: 2, STACK: 3, CORE: 4, NPROC: 6, NOFILE: 7, MEMLOCK: 8, AS: 9, SIGPENDING: 11 };
const UNLIMITED = -1;
const EVERY_BYTE = String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1));
const PATH = `PATH=${pathWith(26)}`;
const file = join(PLACE, "input");

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

const PROPERTIES: Record<string, Property> = {
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
  // grep reads lines: it looks like the end of a value.
  "a line in a name": {
    lost: [/^dash[^,]*, .*environment: lost \["a\\nb=1"\], added \[\]$/],
    env: [PATH, "a\nb=1", "A=1"],
  },
  // Shells keep variables by name, and env(1) takes such a word for the command.
  "a variable without =": {
    lost: [/environment: lost \["","lonely"\], added \[\]$/],
    env: [PATH, "lonely", "A=1", ""],
  },
  // Shells keep one of each name: the last, where getenv(3) finds the first.
  "a variable twice": {
    lost: [/environment: lost \["A=1"\], added \[\]$/],
    env: [PATH, "A=1", "A=2"],
  },
  "shell's own variables": {
    env: [PATH, "IFS=x", "PPID=7", "OPTIND=9", "OPTARG=a", "LINENO=5", "PS1=p", "PS2=q", "PS4=r", "MAIL=m", "ENV=/e"],
  },
  "bash's own variables": {
    env: [
      ...[PATH, "RANDOM=x", "SECONDS=y", "UID=5", "EUID=6", "HOSTNAME=h", "HOSTTYPE=t", "MACHTYPE=m", "OSTYPE=o"],
      ...["BASH=b", "BASH_VERSION=1", "BASHOPTS=", "SHELLOPTS=braceexpand", "GROUPS=g", "DIRSTACK=d", "FUNCNAME=f"],
      ...[
        "HISTCMD=1",
        "TERM=dumb",
        "COLUMNS=3",
        "LINES=4",
        "POSIXLY_CORRECT=",
        "BASHPID=1",
        "EPOCHSECONDS=z",
        "SRANDOM=1",
      ],
    ],
  },
  "portshim's own variables": {
    env: [PATH, "portshim_live=1", "portshim_signal=TERM", "portshim_1=1", "portshim_helper=1"],
  },
  "options as variables": {
    env: [PATH, "PORTSHIM_START=80", "PORTSHIM_OPTIONAL=1", "PORTSHIM_STUB=1", "PORTSHIM_QUIET=0"],
  },
  "assignments within a value": { env: ["X=a=1\nb=2\nc=3\nd=4", "a.b=1", PATH] },
  "only an odd name": { env: ["a.b=1"], only: "fast" },
  "PWD right": { env: [PATH, "PWD=/etc"], steps: [["cwd", "/etc"]] },
  "PWD stale": { env: [PATH, "PWD=/nowhere", "OLDPWD=/etc"], steps: [["cwd", "/etc"]] },
  "PWD by another name": { env: [PATH, "PWD=/proc/self/cwd"], steps: [["cwd", "/etc"]] },
  "PWD with odd bytes": { env: [PATH, "PWD=/tmp/a\nb", "OLDPWD="], steps: [["cwd", "/"]] },
  "PWD empty": { env: [PATH, "PWD="] },
  SHLVL: { env: [PATH, "SHLVL=3", "_=/usr/bin/x"] },
  "SHLVL empty": { env: [PATH, "SHLVL=", "A=1"] },
  "SHLVL odd": { env: [PATH, "SHLVL=x\ny", "_=", "A=1"] },
  "a function of bash's": { env: [PATH, "BASH_FUNC_x%%=() {  echo hello\n}", "BASH_FUNC_a.b%%=() {  echo hello\n}"] },
  "what only looks like a function": { env: [PATH, "BASH_FUNC_x%%=neither", "f=() { :; }"] },
  "100 kB of environment": {
    env: [PATH, ...Array.from({ length: 1000 }, (_, i) => `variable_${i}=${"y".repeat(88)}`)],
  },
  "100 kB of environment, and an odd name": {
    env: [PATH, "a.b=1", ...Array.from({ length: 1000 }, (_, i) => `variable_${i}=${"y".repeat(88)}`)],
  },
  "one variable": { env: [PATH] },
  "no PATH": { env: ["A=1"], only: "fast" },
  "no variable": { lost: [/^busybox, fast.*: environment: lost \[\], added \["PATH=[^"]*"\]$/], env: [], only: "fast" },
  // Without a PATH there is no Node.
  "PATH empty": { env: ["PATH="], only: "fast" },
  "odd locale": { env: [PATH, "LC_ALL=xx_YY.nonsense", "LANG=\xff"], noise: /setlocale/ },
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
  "stdin closed": { steps: [["close", 0]] },
  "stdout closed": { steps: [["close", 1]] },
  // bash itself: it opens its script as 2 and leaves it there.
  "stderr closed": {
    lost: [/^bash.* 2: nothing became .*portshim/],
    steps: [["close", 2]],
  },
  "all closed": { steps: [0, 1, 2].map((fd): Step => ["close", fd]) },
  "stdin and stdout closed": { steps: [0, 1].map((fd): Step => ["close", fd]) },
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
  nohup: { steps: [["ignore", signalNumber("HUP")]] },
  "every signal ignored": {
    steps: Array.from({ length: 64 }, (_, i) => i + 1)
      .filter((n) => ![9, 17, 19, 32, 33].includes(n))
      .map((n): Step => ["ignore", n]),
  },
  // dash and busybox take CHLD at their start, and have forgotten what it was.
  "CHLD ignored": {
    lost: [/^(dash[^,]*|busybox), .*: SigIgn: "0000000000010000" became "0000000000000000"$/],
    steps: [["ignore", signalNumber("CHLD")]],
  },
  "PIPE and INT ignored": {
    steps: [
      ["ignore", signalNumber("PIPE")],
      ["ignore", signalNumber("INT")],
    ],
  },
  "signals blocked": {
    // dash drops the mask when it waits for the helper.
    lost: [/^dash[^,]*, slow.*: SigBlk: /],
    steps: ["USR1", "HUP", "WINCH"].map((name): Step => ["block", signalNumber(name)]),
  },
  "CHLD blocked": {
    // bash unblocks it; dash and busybox leave the one of their child pending, and dash, which waits for the helper by
    // it, and busybox would wait forever.
    only: "fast",
    lost: [
      /^bash.*: SigBlk: "0000000000010000" became "0000000000000000"$/,
      /: ShdPnd: "0+" became "0000000000010000"$/,
    ],
    steps: [["block", signalNumber("CHLD")]],
  },
  "TERM and INT blocked": {
    lost: [/^dash[^,]*, slow.*: SigBlk: /],
    steps: ["TERM", "INT"].map((name): Step => ["block", signalNumber(name)]),
  },
  "a signal pending": {
    // Once dash has dropped the mask the signal arrives.
    lost: [/^dash[^,]*, slow.*: (it did not start|SigBlk|SigPnd): /],
    steps: [
      ["block", signalNumber("USR1")],
      ["raise", signalNumber("USR1")],
      ["block", 40],
      ["raise", 40],
    ],
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
  "folder deleted": { steps: [["gone", "FILE.gone"]], noise: /getcwd/ },
  "folder deleted, PWD stale": {
    steps: [["gone", "FILE.gone"]],
    env: [PATH, "PWD=FILE.gone"],
    noise: /getcwd/,
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
  // Every shell waits for all children, also for those that it did not start.
  "a child that is dead": {
    lost: [/: children: "\d+ " became ""$/],
    steps: [["child", 0]],
  },
  // Where the links to Node lie it may not go.
  "an ordinary user": {
    only: "fast",
    steps: [
      ["prctl", 28, 0x10],
      ["user", 65534],
      ["caps", 0x1000, 0x1000, 0x1000],
      ["ambient", 12],
    ],
  },
};

/** As much of it at once as goes together: for what would take too long to try with each. */
const EVERYTHING: Property = {
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

/** What bash puts into every environment that it hands on. */
const BASH_OWN = /^(SHLVL|PWD|OLDPWD|_)=/;

async function start(property: Property, situation: Situation | undefined, first = false) {
  const { steps = [], args = ["argument"], mode = "report", env = [PATH, "A=1"] } = property;
  const path = newPath();
  /** In a property FILE stands for the path of this run. */
  const own = <T>(word: T) => (typeof word === "string" ? word.replace("FILE", path) : word) as T;
  writeFileSync(path, "");
  chmodSync(path, 0o666);
  const portshim = situation ? [...(SHELLS[situation.shell] ?? []), PORTSHIM, "--"] : [];
  const version = situation?.version;
  const variables = version ? env.map((entry) => (entry === PATH ? `PATH=${pathWith(version)}` : entry)) : env;
  const outcome = await launch(path, [
    ...UNDECLARED,
    ...glance(situation?.shell),
    ["threshold", situation?.path === "slow" ? 1024 : 80],
    ...(first ? [["first"] as const] : []),
    ...streams(path),
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

function bare(property: Property, { first = false, version }: Situation): Promise<Result> {
  const key = `${JSON.stringify([property.args, property.env, property.steps])} ${first}`;
  const known = bares.get(key) ?? start(property, undefined, first);
  bares.set(key, known);
  void version;
  return known;
}

/** What differs through portshim from what the command is given without it; nothing, if all is well. */
async function differences(property: Property, situation: Situation): Promise<string[]> {
  const [without, through] = [await bare(property, situation), await start(property, situation, situation.first)];
  if (!without.report) return [`the command alone failed: ${JSON.stringify(without)}`];
  if (!through.report) return [`it did not start: ${through.stderr}${JSON.stringify(through.outcome)}`];
  const found: string[] = [];
  const [one, other] = [comparable(without, situation), comparable(through, situation)];
  for (const part of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const [a, b] = [JSON.stringify(one[part]), JSON.stringify(other[part])];
    if (a !== b) found.push(`${part}: ${shortest(one[part], other[part])}`);
  }
  const forks = Number(through.report.last_pid) - through.report.pid;
  // Node alone starts ten threads, and each takes a number.
  if (situation.path === "fast" && forks > 8) found.push(`the fast path took ${forks} processes`);
  if (situation.path === "slow" && through.outcome.threshold !== 80) found.push("the helper did not run");
  const noise = through.stderr.split("\n").filter((line) => line && !/^(portshim: | {4})/.test(line));
  const unexpected = noise.filter((line) => !property.noise?.test(line));
  if (situation.path === "fast" && through.stderr !== noise.map((line) => `${line}\n`).join(""))
    unexpected.push(through.stderr);
  if (unexpected.length > 0) found.push(`stderr: ${unexpected.join("\n")}`);
  if (through.stdout !== without.stdout) found.push(`stdout: ${through.stdout}`);
  if (through.outcome.exit !== without.outcome.exit) found.push(`status: ${through.outcome.exit}`);
  return found;
}

function comparable({ report, path, outcome }: Result, { shell, version }: Situation): Record<string, unknown> {
  const parts: Record<string, unknown> = {
    ...(report as Report),
    screen: outcome.screen.replace(/^portshim.*\r\n( {4}.*\r\n)*/gm, ""),
  };
  delete parts.last_pid;
  const variables = (report as Report).environment.map((entry) =>
    version ? entry.replace(pathWith(version), pathWith(26)) : entry,
  );
  const own = shell.startsWith("bash") ? BASH_OWN : undefined;
  // /proc/locks may tell of one twice, where others come and go.
  parts.locks = [...new Set(parts.locks as string[])];
  parts.environment = variables.filter((entry) => !own?.test(entry)).sort();
  // portshim's own sentences went there.
  const { 2: stderr } = parts.descriptors as Record<string, { offset?: number }>;
  if (stderr) delete stderr.offset;
  return JSON.parse(
    JSON.stringify(parts)
      .replaceAll(path, "FILE")
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

async function same(property: Property, situations: readonly Situation[]): Promise<void> {
  const all: string[] = [];
  await each(situations, async (situation) => {
    const found = await differences(property, situation);
    const name = Object.entries(situation).map(([key, value]) => (key === "first" ? "as pid 1" : value));
    all.push(...found.map((difference) => `${name.join(", ")}: ${difference}`));
  });
  const unexpected = all.filter((difference) => !property.lost?.some((pattern) => pattern.test(difference)));
  assert.is(unexpected.sort().join("\n"), "");
}

const SITUATIONS = Object.keys(SHELLS).flatMap((shell): Situation[] => [
  { shell, path: "fast" },
  { shell, path: "slow" },
]);

test.before(() => {
  writeFileSync(file, "0123456789\nsecond\nthird\n", { mode: 0o644 });
});

for (const [name, property] of Object.entries(PROPERTIES)) {
  const { only } = property;
  const possible = SITUATIONS.filter(({ path }) => only === undefined || path === only);
  test(name, () => same(property, possible));
  if (!FULL) continue;
  test(`${name}, as process 1`, () =>
    same(
      property,
      possible.map((situation) => ({ ...situation, first: true })),
    ));
  test(`${name}, by Node's version`, () =>
    same(
      property,
      possible
        .filter(({ path }) => path === "slow")
        .flatMap((situation) => NODE_VERSIONS.map((version) => ({ ...situation, version }))),
    ));
}

test("everything at once, by Node's version", () =>
  same(
    EVERYTHING,
    SITUATIONS.filter(({ path }) => path === "slow").flatMap((situation) =>
      NODE_VERSIONS.map((version) => ({ ...situation, version })),
    ),
  ));

for (const [name, property] of Object.entries({ nothing: {}, everything: EVERYTHING })) {
  test(`${name}, as process 1`, () =>
    same(
      property,
      SITUATIONS.map((situation) => ({ ...situation, first: true })),
    ));
}

/** Starts a Node server through portshim with an IPC channel, as child_process.fork does, and a message already in it. */
async function fork(shell: string, version: (typeof NODE_VERSIONS)[number], threshold: number): Promise<string> {
  const path = newPath();
  const [server, required] = [`${path}.server.js`, `${path}.required.js`];
  writeFileSync(required, `require("fs").appendFileSync(${JSON.stringify(path)}, process.argv[1] + "\\n")`);
  writeFileSync(
    server,
    "process.on('message', (message) => process.send({ message, pid: process.pid, env: process.env.NODE_ENV }, () => process.exit(7)))",
  );
  const script = `echo ${threshold} >/proc/sys/net/ipv4/ip_unprivileged_port_start; exec "$@"`;
  const portshim = [...(SHELLS[shell] ?? []), PORTSHIM, "--start=80", "--quiet", "--"];
  const command = ["--net", "/bin/dash", "-c", script, "dash", ...portshim, "node", server];
  const child = spawn("/usr/bin/unshare", command, {
    env: { PATH: pathWith(version), NODE_OPTIONS: `--require=${required}`, NODE_ENV: "production" },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += chunk));
  let answer: unknown;
  child.on("message", (message) => {
    answer = message;
  });
  child.send("before exec");
  const status = await new Promise((resolve) => child.on("close", resolve));
  const ran = content(path);
  for (const file of [server, required]) rmSync(file);
  tidy(path);
  const expected = [{ message: "before exec", pid: child.pid, env: "production" }, 7, "", `${server}\n`];
  const found = [answer, status, output, ran];
  return JSON.stringify(found) === JSON.stringify(expected)
    ? ""
    : `${shell} ${version} ${threshold}: ${JSON.stringify(found)}`;
}

test("the server's IPC channel and NODE_OPTIONS are its own", async () => {
  const found: string[] = [];
  const cases = Object.keys(SHELLS).flatMap((shell, i) =>
    NODE_VERSIONS.filter((_, j) => FULL || j === i).flatMap((version) =>
      [80, 1024].map((threshold) => ({ shell, version, threshold })),
    ),
  );
  await each(cases, async ({ shell, version, threshold }) => {
    const text = await fork(shell, version, threshold);
    if (text) found.push(text);
  });
  assert.is(found.sort().join("\n"), "");
});

test.after(() => assert.equal(existsSync(PLACE) ? readdirSync(PLACE).filter((name) => /^run-/.test(name)) : [], []));

test.run();
