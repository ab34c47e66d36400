import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { SETTING_FILE } from "../../shim/lib/here/threshold.js";
import { HOST_ENVIRONMENT, HOST_PATH } from "../../shim/lib/host/bridge.js";
import { commandLine } from "../../shim/lib/text.js";
import { pathWith } from "../namespace.js";
import { PORTSHIM } from "../need.js";
import { suite } from "../suite.js";
import { Random, seed } from "../sysctl/tree.js";
import { UNSAFE } from "../unsafe.js";

const test = suite("a host that lies (RUNS=…, SEED=…)", "root", "tools", "nodes");

const SEED = seed();
const RUNS = Number(process.env.RUNS || 8);

/** How many starts at once. */
const AT_ONCE = 8;

/** Other users can enter it, and leave their records there. */
const PLACE = mkdtempSync(join(tmpdir(), "portshim-liar-"));
chmodSync(PLACE, 0o755);
process.on("exit", () => rmSync(PLACE, { recursive: true, force: true }));

/** A start in a toolbox whose host lies. */
interface Case {
  /** Its words for the shell of the bridge, in which $1 is the number of the call, from 1. */
  readonly lie: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** It is started on a terminal. */
  readonly onTerminal?: boolean;
  /** A whole second helper's worth, at most; milliseconds. */
  readonly patience?: number;
}

interface Ending {
  readonly status: number | null;
  /** What it said: of a terminal's whole screen, what is not between BEGIN and END. */
  readonly stderr: string;
  readonly ms: number;
  readonly threshold: number;
  /** What the host was to run: the words of each call, and what came on stdin. */
  readonly calls: readonly string[][];
  readonly inputs: readonly string[];
  /** Most memory of the helper, in MB, seen at the end of a lie; 0: not seen. */
  readonly memory: number;
}

/** In a toolbox, by its marks, with a network namespace that the host can only have if it says so. */
const TOOLBOX = `mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/user/65534 /run/host/etc/sysctl.d &&
  chmod 700 /run/user/65534 && chown 65534:65534 /run/user/65534 && touch /run/.toolboxenv`;
const ORDINARY = [
  ...["--reuid=65534", "--regid=65534", "--clear-groups"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

/** script(1) gives a command a terminal of its own, and ends like it. */
const onATerminal = (argv: readonly string[]) => [
  ...["/usr/bin/script", "--quiet", "--return", "--flush", "--command", commandLine(argv), "/dev/null"],
];

let cases = 0;

/** Between them is what the host writes on the terminal itself. */
const [BEGIN, END] = ["<the host", "the host>"];

async function lied({ lie, argv, env = {}, onTerminal = false }: Case): Promise<Ending> {
  const folder = join(PLACE, String(++cases));
  const records = join(folder, "records");
  mkdirSync(records, { recursive: true });
  chmodSync(records, 0o777);
  // A script, because no real host lies: with the bridge's name, so that it is called like the real one.
  const bridge = join(folder, "flatpak-spawn");
  writeFileSync(
    bridge,
    `#!/bin/dash
PATH=/usr/sbin:/usr/bin:/sbin:/bin; cd ${records}; n=1; while ! mkdir $n 2>/dev/null; do n=$((n + 1)); done
printf '%s\\0' "$@" >$n/words
memory() { grep VmHWM /proc/$PPID/status >>memory; }
lie() {
${lie}
}
lie $n
status=$?
memory
exit $status
`,
    { mode: 0o755 },
  );
  const script = `echo 1024 >${SETTING_FILE}; (PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${TOOLBOX}) || exit; (exec "$@"); status=$?; /bin/cat ${SETTING_FILE} >&3; exit $status`;
  const start = ["/usr/bin/setpriv", ...ORDINARY, PORTSHIM, ...argv];
  const words = onTerminal ? onATerminal(start) : start;
  const started = Date.now();
  const child = spawn("/usr/bin/unshare", ["--net", "--mount", "/bin/dash", "-c", script, "dash", ...words], {
    cwd: "/",
    env: { PATH: pathWith(26), PORTSHIM_BRIDGE: bridge, ...env },
    stdio: ["ignore", onTerminal ? "pipe" : "ignore", "pipe", "pipe"],
  });
  const text = ["", ""];
  [onTerminal ? child.stdout : child.stderr, child.stdio[3]].forEach((stream, at) => {
    (stream as NodeJS.ReadableStream).setEncoding("utf8").on("data", (part: string) => {
      // With the host's babble on a terminal its end would not be seen.
      if ((text[at] as string).length < 1e6) text[at] += onTerminal ? part.replaceAll("\0", "") : part;
    });
  });
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  const record = (name: string) => (existsSync(join(records, name)) ? readFileSync(join(records, name), "utf8") : "");
  const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => existsSync(join(records, String(n))));
  return {
    status,
    stderr: onTerminal ? withoutHosts(text[0] as string) : (text[0] as string),
    ms: Date.now() - started,
    threshold: Number(text[1]),
    calls: numbers.map((n) => record(`${n}/words`).split("\0").slice(0, -1)),
    inputs: numbers.map((n) => record(`${n}/input`)).filter(Boolean),
    memory: Math.max(0, ...[...record("memory").matchAll(/(\d+) kB/g)].map(([, kB]) => Number(kB) / 1024)),
  };
}

/** What we said on a terminal. */
function withoutHosts(screen: string): string {
  const [before = "", after = ""] = screen.replaceAll("\r\n", "\n").split(BEGIN);
  const end = after.indexOf(END);
  // It can be stopped before it has come to its end.
  return before + after.slice(end < 0 ? Math.max(0, after.indexOf("portshim: ")) : end + END.length);
}

/** Runs many, a few at once. */
async function all(given: readonly Case[]): Promise<[Case, Ending][]> {
  const left = [...given];
  const endings: [Case, Ending][] = [];
  const work = async () => {
    for (let one = left.pop(); one; one = left.pop()) endings.push([one, await lied(one)]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return endings;
}

const OPTIONS = ["--host", "--watch-bus", "--directory=/", "--clear-env", `--env=${HOST_ENVIRONMENT}`];

const program = (name: string) => `(?:${HOST_PATH.join("|")})/${name}`;
const ROOT = `(?:${program("pkexec")}|${program("run0")} --background=|${program("sudo")} -n)`;
const NUMBER = "(?:0|[1-9]\\d*)";
const SYSCTL = `${program("sysctl")} -w net\\.ipv4\\.ip_unprivileged_port_start=${NUMBER}`;
const SHELL = "/bin/sh -c";

/** Every command that the host is ever asked to run, but for the constant scripts of CONSTANT. */
const SHAPES = [
  `${ROOT} ${SYSCTL}`,
  `${ROOT} ${SHELL} umask 022; tee /etc/sysctl\\.d/90-portshim\\.conf(?: \\| sysctl -p -)?`,
  `${ROOT} ${SHELL} rm -f /etc/sysctl\\.d/90-portshim\\.conf \\|\\| exit; sysctl -p -`,
  `${ROOT} ${program("nft")} -e (?:-f -|table inet portshim;delete table inet portshim)`,
  `${program("nft")} list table inet portshim`,
  `/bin/sh -c export XDG_RUNTIME_DIR="/run/user/\\$\\(id -u\\)"; exec "\\$@" sh ${program("systemd-run")} --user --pty --wait --collect ` +
    `${SHELL} trap : INT QUIT; /usr/bin/env -i ${HOST_ENVIRONMENT} ${ROOT} ${SYSCTL} >/dev/null; exit`,
].map((shape) => new RegExp(`^${shape}$`));

/** What goes with it on stdin: one command for the shell that has answered, or a text for root. */
const INPUTS = [
  ...SHAPES.map(({ source }) => new RegExp(`${source.slice(0, -1)}\n$`)),
  /^# Written by portshim persist: any user can bind ports \d+ and up, also after a reboot\.\nnet\.ipv4\.ip_unprivileged_port_start = \d+\n# To undo it: portshim persist --remove\n$/,
  /^net\.ipv4\.ip_unprivileged_port_start = \d+\n$/,
  /^# Written by portshim guard\.[\w\s.,:{}"/;#'=-]+$/,
];

/** The scripts that the host's shell is given, by their beginning; each has to be the same in every start. */
const CONSTANT = new Map<string, string>();

function isListed(words: readonly string[]): boolean {
  const [shell, flag, script = "", ...rest] = words;
  if (`${shell} ${flag}` === SHELL && rest.length === 0 && script.startsWith("PATH=/run/wrappers/bin:")) {
    const kind = /busctl/.test(script) ? "thorough" : /\/proc\/net/.test(script) ? "sockets" : "plain";
    if (!CONSTANT.has(kind)) CONSTANT.set(kind, script);
    return CONSTANT.get(kind) === script;
  }
  // podman unshare /bin/sh -c SCRIPT sh INODE VALUE NSENTER
  if (new RegExp(`^${program("podman")}$`).test(shell ?? "")) {
    const [unshare, sh, c, set = "", name, inode = "", value = "", nsenter = ""] = words.slice(1);
    if (!CONSTANT.has("nsenter")) CONSTANT.set("nsenter", set);
    return (
      [unshare, sh, c, name].join(" ") === "unshare /bin/sh -c sh" &&
      CONSTANT.get("nsenter") === set &&
      /^[1-9]\d*$/.test(inode) &&
      /^\d+$/.test(value) &&
      new RegExp(`^${program("nsenter")}$`).test(nsenter)
    );
  }
  return SHAPES.some((shape) => shape.test(words.join(" ")));
}

/** Those of a start on a terminal: Ctrl-C and Ctrl-\\ go there, and what they end there ends us. */
const KEYS = [130, 131];

/** Of a start, 64 excepted: the options are right. A signal's would be a bug, too. */
const STATUSES = [0, 1, 2, 69, 77];

/** Milliseconds of a start on a busy machine, beside what the host may take: 10 s for its answer, and for each list, 1 for a prompt. */
const PATIENCE = 45_000;

/** In MB: Node alone takes 50, an answer can be 64 MB. */
const MEMORY = 400;

function check([{ lie, argv, patience = PATIENCE, onTerminal }, ending]: [Case, Ending]): void {
  const what = `${argv.join(" ")}, ${lie.slice(0, 2000)}\n${JSON.stringify(ending).slice(0, 3000)}`;
  assert.ok([...STATUSES, ...(onTerminal ? KEYS : [])].includes(ending.status ?? -1), what);
  assert.ok(ending.stderr.length < 10_000, what);
  assert.not.match(ending.stderr, UNSAFE, what);
  assert.not.match(ending.stderr, /internal error/, what);
  assert.ok(ending.ms < patience, what);
  assert.ok(ending.memory < MEMORY, what);
  // A liar cannot change it, and is not believed.
  assert.is(ending.threshold, 1024, what);
  for (const words of ending.calls) {
    assert.equal(words.slice(0, OPTIONS.length), OPTIONS, what);
    assert.ok(isListed(words.slice(OPTIONS.length)), `not on the list: ${JSON.stringify(words)}\n${what}`);
  }
  for (const input of ending.inputs) {
    assert.ok(
      INPUTS.some((shape) => shape.test(input)),
      `not on the list: ${JSON.stringify(input)}\n${what}`,
    );
  }
}

const SERVER = ["--timeout=1", "--", "/bin/true"];
const COMMANDS: readonly (readonly string[])[] = [
  SERVER,
  SERVER,
  ["--timeout=1", "--via=pkexec,run0,sudo,nsenter", "--", "/bin/true"],
  ["--timeout=1", "--via=nsenter", "--", "/bin/true"],
  ["--dry-run", "--", "/bin/true"],
  ["check"],
  ["check", "--json"],
  ["persist", "--timeout=1"],
  ["persist", "--timeout=1", "--via=run0,sudo", "--start=443"],
  ["guard", "--ports=80"],
  ["guard", "--apply", "--timeout=1"],
  ["guard", "--remove", "--timeout=1"],
];

const SAME = "ls -Lid /proc/self/ns/net";
const HONEST = HOST_PATH.flatMap((folder) =>
  ["pkexec", "run0", "sudo", "sysctl", "podman", "nsenter", "nft"].map((name) => `${folder}/${name}`),
);
const EVIL = [
  ...[
    "/tmp/pkexec",
    "/usr/bin/../../tmp/sysctl",
    "/usr/sbin/sysctl; reboot",
    "/usr/sbin/sysctl\\t-w",
    "//usr/bin/sudo",
  ],
  ...[
    "/usr/bin/pkexec --user root",
    "/usr/bin/pkexec\\r",
    "/usr/bin/p\\0kexec",
    "/home/ada/bin/nsenter",
    "$(reboot)",
    "`id`",
  ],
  ...[
    "\\033[2J\\033]0;x\\007",
    "\\342\\200\\256",
    "\\377\\376",
    "polkit yes",
    "polkit no",
    "80",
    "0",
    "99999",
    "-1",
    "",
  ],
  ...[
    "4026531840 /proc/self/ns/net",
    "0 /proc/self/ns/net",
    "1e9 /proc/self/ns/net",
    "9999999999999999 /proc/self/ns/net",
  ],
  ...["table tcp", "table end", "  0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 1", "constructor", "__proto__"],
];
const WORDS = [
  ...[
    "Portal call failed: \\033[31mno\\nsuch",
    "Error executing command as another user: Not authorized",
    "sudo: a password",
  ],
  ...[
    "Interactive authentication required",
    "Error creating textual authentication agent",
    "\\342\\200\\256evil",
    "EOF",
  ],
  ...[
    "dial unix \\t: connect: permission denied",
    "Running as unit: x",
    "Access denied, timed out",
    "",
    "x\\r\\033[1A",
  ],
];

const quoted = (line: string) => `printf '${line.replaceAll("'", "").replaceAll("%", "")}\\n'`;

/** Each program twice, the wrong one first; then it listens, and says no. */
const TWICE = (namespace: string) =>
  [...EVIL.filter((line) => !line.endsWith("/ns/net")).map(quoted), ...HONEST.map((path) => `echo ${path}`), namespace]
    .concat("head -c 100000 >$1/input; echo no >&2; return 127")
    .join("\n");
const [THEIRS, OTHERS] = [TWICE(SAME), TWICE("echo 7 /proc/self/ns/net")];

/** What it says, and how it ends. */
function lie(random: Random): string {
  const lines = Array.from({ length: random.below(12) }, () => random.pick(random.chance(0.6) ? HONEST : EVIL));
  const rest = random.chance(0.6) ? HONEST.map((path) => `echo ${path}`) : [];
  const answer = [...lines.map(quoted), ...rest, random.chance(0.8) ? SAME : quoted(random.pick(EVIL))];
  const listening = "head -c 100000 >$1/input";
  const words = `printf '${random.pick(WORDS)}' >&2`;
  const end = random.pick([
    `${listening}; ${words}; return ${random.pick([0, 1, 126, 127, 137, 255])}`,
    `${words}; return ${random.pick([0, 1, 126, 127])}`,
    `${listening}; kill -KILL $$`,
    `exec >&- 2>&-; ${listening}`,
    `${listening}; head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2; return 1`,
    // It never ends.
    `${listening}; exec sleep 300`,
  ]);
  const later = random.chance(0.3) ? `if [ $1 -gt 1 ]; then ${words}; return ${random.below(128)}; fi\n` : "";
  return `${later}${answer.join("\n")}\n${end}`;
}

/** What the host says after its answer, or in place of it. */
const ANSWER = [...HONEST.slice(0, 21).map((path) => `echo ${path}`), SAME].join("\n");
const STREAMS: Readonly<Record<string, string>> = {
  "1 GB in place of an answer": "head -c 1000000000 /dev/zero",
  "1 GB of lines in place of an answer": "yes /usr/bin/pkexec | head -c 1000000000",
  "1 GB on stderr": "head -c 1000000000 /dev/zero >&2; return 1",
  "1 GB after its answer": `${ANSWER}\nhead -c 1000000000 /dev/zero; return 1`,
  "an answer that never ends": "exec yes '4026531840 /proc/self/ns/net /usr/bin/pkexec'",
  "single bytes that never end": "while :; do echo; done",
  silence: "exec sleep 300",
  "silence that ignores TERM": "trap '' TERM; while :; do sleep 1; done",
  "an answer, and then silence": `${ANSWER}\nexec sleep 300`,
  "children that stay": "sleep 20 & sleep 20 & echo '1 /proc/self/ns/net'; return 1",
};

const SOCKETS = `${ANSWER}\n[ $1 -gt 1 ] && { echo table tcp; yes '' | head -c 1000000000; }`;

/** On the terminal that it is given for polkit's prompt, and beside it; then how it ends. */
function lieOnTerminal(random: Random): string {
  const shown = random.pick([
    "printf '\\033[2J\\033]0;x\\007\\033[?1049h\\033[31m'",
    "stty raw -echo",
    "printf 'Password: '; head -c 1 >/dev/null",
    "head -c 100000 /dev/urandom | tr -d '<>'",
    "yes '' | head -c 100000",
    "exec >&-",
    "exec 0<&- 1>&-",
    ":",
  ]);
  const said = random.pick([
    "echo 'Running as unit: x' >&2; echo 'Main processes terminated with: code=exited/status=1' >&2",
    "echo 'Running as unit: x' >&2; printf '\\033[2J' >&2",
    "printf 'Failed\\033[31m\\r\\n  at x (y.js:1:1)\\n' >&2",
    "head -c 1000000000 /dev/zero | tr '\\0' x >&2",
    "head -c 300000 /dev/urandom >&2",
    quoted(random.pick(EVIL)).concat(" >&2"),
    ":",
  ]);
  const returned = `return ${random.pick([0, 1, 1, 2, 126, 127, 127, 130, 131, 143, 255])}`;
  const ended = random.pick([
    "kill -KILL $$",
    "kill -STOP $$",
    "exec sleep 300",
    "trap '' TERM; while :; do sleep 1; done",
    "exec head -c 1000000000 /dev/zero",
    "exec head -c 1000000000 /dev/zero >&2",
    // The terminal is somebody else's, still.
    "(trap '' HUP TERM; exec sleep 5) & return 1",
  ]);
  const end = random.chance(0.6) ? returned : ended;
  const first = `${[...HONEST, "/usr/bin/systemd-run"].map((path) => `echo ${path}`).join("\n")}
${SAME}
head -c 100000 >$1/input; echo 'Error creating textual authentication agent' >&2; return 127`;
  return `if [ $1 = 1 ]; then\n${first}\nfi\necho '${BEGIN}'\n${shown}\n${said}\necho '${END}' >/dev/tty\n${end}`;
}

let random: [Case, Ending][];
let endless: [Case, Ending][];
let terminals: [Case, Ending][];

// Together, because most of them wait.
test.before(async () => {
  const lies = Array.from({ length: RUNS }, (_, at) => {
    const source = new Random(SEED, at);
    return { lie: lie(source), argv: source.pick(COMMANDS) };
  });
  const streams = Object.values(STREAMS).map((one) => ({ lie: one, argv: SERVER }));
  for (const argv of [SERVER, ["persist", "--timeout=1"], ["guard", "--remove", "--timeout=1"]])
    lies.push({ lie: THEIRS, argv });
  lies.push({ lie: OTHERS, argv: SERVER });
  const prompts = Array.from({ length: RUNS }, (_, at) => {
    return { lie: lieOnTerminal(new Random(SEED, RUNS + at)), argv: SERVER, onTerminal: true };
  });
  const endings = await all([
    ...lies,
    ...streams,
    ...prompts,
    { lie: SOCKETS, argv: ["guard", "--apply", "--timeout=1"] },
  ]);
  random = endings.filter(([one]) => lies.includes(one as (typeof lies)[number]));
  terminals = endings.filter(([one]) => one.onTerminal);
  endless = endings.filter((one) => !random.includes(one) && !terminals.includes(one));
});

test("random lies: nothing but what is on a list is asked of it, and every end is a sentence", () => {
  random.forEach(check);
  const asked = random.flatMap(([, { calls }]) => calls).length;
  const written = random.flatMap(([, { inputs }]) => inputs).length;
  console.log(`${random.length} starts, ${asked} calls, ${written} with something on stdin`);
  assert.ok(asked >= RUNS / 2 && written > 0);
});

test("random lies on our terminal, which the host has for polkit's prompt", () => {
  terminals.forEach(check);
  for (const [one, { calls, stderr }] of terminals) {
    assert.is(calls.length, 2, `no prompt on the terminal: ${one.lie}\n${stderr}`);
    assert.match(stderr, /portshim: Running as root on the host/, one.lie);
  }
});

test(`${Object.keys(STREAMS).join("; ")}; sockets of 1 GB`, () => {
  endless.forEach(check);
  const most = Math.max(...endless.map(([, { memory }]) => memory));
  console.log(`at most ${Math.round(most)} MB, ${Math.max(...endless.map(([, { ms }]) => ms))} ms`);
  assert.ok(most > 10, "the helper's memory was not seen");
});

test.run();
