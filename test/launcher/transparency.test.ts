import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { pathWith } from "../namespace.js";
import { EMPTY_REPLY, NODE_VERSIONS } from "../need.js";
import { suite } from "../suite.js";
import { differences, EVERYTHING, PROPERTIES, type Property, SITUATIONS, same } from "./property.js";
import {
  content,
  DISPATCHER,
  each,
  newPath,
  OPEN,
  observe,
  PLACE,
  PLAIN,
  PORTSHIM,
  PROBE,
  prepare,
  type Step,
  signalNumber,
  streams,
  tidy,
} from "./starter.js";

const test = suite("transparency", "root", "tools", "compiler", "nodes");
test.before(prepare);

/** Try every property with every Node, too. */
const FULL = process.env.FULL === "1";

const BY_VERSION = SITUATIONS.filter(({ path }) => path === "slow").flatMap((situation) =>
  NODE_VERSIONS.map((version) => ({ ...situation, version })),
);

for (const [name, property] of Object.entries(PROPERTIES)) {
  test(name, () => same(property, SITUATIONS));
  if (FULL) test(`${name}, by Node's version`, () => same(property, BY_VERSION));
}

test("everything at once", () => same(EVERYTHING, SITUATIONS));
test("everything at once, by Node's version", () => same(EVERYTHING, BY_VERSION));

/** Lines of a script that give the lock a folder of its own, in a mount namespace. */
const OWN_RUN = "mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/user && mkdir -m 700 /run/user/0";

/** A script for a network and mount namespace of its own, which becomes its arguments. */
const at = (threshold: number) =>
  `echo ${threshold} >/proc/sys/net/ipv4/ip_unprivileged_port_start; (PATH=/usr/bin:/bin; ${OWN_RUN}); exec "$@"`;

/**
 * Starts a Node server through portshim with an IPC channel, as child_process.fork does, and a message already in it.
 */
async function fork(version: (typeof NODE_VERSIONS)[number], threshold: number): Promise<string> {
  const path = newPath();
  const [server, required] = [`${path}.server.js`, `${path}.required.js`];
  writeFileSync(required, `require("fs").appendFileSync(${JSON.stringify(path)}, process.argv[1] + "\\n")`);
  writeFileSync(
    server,
    "process.on('message', (message) => process.send({ message, pid: process.pid, env: process.env.NODE_ENV }, () => process.exit(7)))",
  );
  const portshim = [PORTSHIM, "--start=80", "--quiet", "--"];
  const command = ["--net", "--mount", "/bin/dash", "-c", at(threshold), "dash", ...portshim, "node", server];
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
  return JSON.stringify(found) === JSON.stringify(expected) ? "" : `${version} ${threshold}: ${JSON.stringify(found)}`;
}

test("the server's IPC channel and NODE_OPTIONS are its own", async () => {
  const found: string[] = [];
  const cases = NODE_VERSIONS.flatMap((version) => [80, 1024].map((threshold) => ({ version, threshold })));
  await each(cases, async ({ version, threshold }) => {
    const text = await fork(version, threshold);
    if (text) found.push(text);
  });
  assert.is(found.sort().join("\n"), "");
});

test("the server's environment is its own, if /proc shows that of another process under our pid", () => {
  for (const threshold of [80, 1024]) {
    const path = `PATH=${pathWith(26)}:/usr/bin:/bin`;
    // Our pid is 1 in our own namespace; in /proc, the outer namespace's, 1 is the outer shell.
    const inner = `unshare --pid --fork env -i MINE=1 ${path} ${PORTSHIM} --start=80 --quiet -- env; :`;
    const outer = ["--pid", "--fork", "--mount-proc", "env", "-i", "A.B=x", "SECRET=y", path, "sh", "-c", inner];
    const command = ["--net", "--mount", "dash", "-c", at(threshold), "dash", "unshare", ...outer];
    const run = spawnSync("unshare", command, { encoding: "utf8" });
    assert.equal([run.stdout, run.stderr], [`MINE=1\n${path}\n`, ""], `threshold ${threshold}`);
  }
});

/** Without /proc/self the launcher looks for its helper at its path in an image. */
const AS_IN_AN_IMAGE: readonly Step[] = [
  ["empty", "/usr/local"],
  ["folder", "/usr/local/bin", 0],
  ["folder", "/usr/local/lib/portshim", 0],
  ["bind", join(PLACE, "shim", "lib"), "/usr/local/lib/portshim"],
];

/** As many properties as are possible there. */
const withoutProc = (...steps: Step[]): Property => ({
  ...EVERYTHING,
  steps: [...AS_IN_AN_IMAGE, ...steps, ...(EVERYTHING.steps ?? []).filter(([verb]) => verb !== "oom")],
});

test("everything, if /proc belongs to a PID namespace that we are not in", () =>
  same(withoutProc(["shell", "unshare --pid --fork mount -t proc proc /proc"]), SITUATIONS));

// The threshold cannot be read there, so there is no fast path.
test("everything, if there is no /proc", () => same({ ...withoutProc(["empty", "/proc"]), only: "slow" }, SITUATIONS));

test("the helper is given what it needs, and nothing of the server's but stdout and stderr", async () => {
  const path = newPath();
  const bin = `${path}.bin`;
  mkdirSync(bin);
  // Marked fake: a node that reports what it was given, and replies that the command is not to be started. Node itself opens descriptors of its own.
  writeFileSync(join(bin, "node"), `#!/bin/sh\n${EMPTY_REPLY}\nexec ${PROBE} report ${path}.helper\n`, {
    mode: 0o755,
  });
  writeFileSync(`${path}.helper`, "");
  const outcome = await observe(path, [
    ...PLAIN,
    ["threshold", 1024],
    ...streams(path),
    ["fill", 0, "the server's input"],
    ...[3, 4, 5, 9, 10, 11, 12, 20, 63, 255].map((fd): Step => ["open", fd, "/dev/zero", OPEN.read]),
    ...["HUP", "TERM", "USR1", "CHLD"].map((name): Step => ["block", signalNumber(name)]),
    ...[PORTSHIM, "--start=80", "--", PROBE, "report", path].map((arg): Step => ["arg", arg]),
    ...[`PATH=${bin}`, "A=1", "NODE_OPTIONS=--frob", "NODE_CHANNEL_FD=3", "NODE=x"].map(
      (entry): Step => ["env", entry],
    ),
  ]);
  assert.equal([outcome.exit, content(path), content(`${path}.stderr`)], [0, "", ""]);
  const helper = JSON.parse(content(`${path}.helper`));
  const links = Object.entries<{ link: string }>(helper.descriptors).map(([fd, { link }]) => [
    fd,
    link.replace(path, "").replace(/\d+/, ""),
  ]);
  assert.equal(links.sort(), [
    ["0", "/dev/null"],
    ["1", ".stdout"],
    ["2", ".stderr"],
    ["3", "socket:[]"],
  ]);
  // The fake's shell adds PWD.
  const variables: string[] = helper.environment.filter((entry: string) => !entry.startsWith("PWD="));
  assert.equal(variables.sort(), ["A=1", "NODE=x", `PATH=${bin}`]);
  assert.equal([helper.SigBlk, helper.deathsig], ["0000000000000000", signalNumber("TERM")]);
  assert.is(helper.ppid, 2, "a child of the launcher's");
  rmSync(bin, { recursive: true });
  rmSync(`${path}.helper`);
  tidy(path);
});

const CHLD = signalNumber("CHLD");
const FORGOTTEN = `SigIgn: "${mask(CHLD)}" became "${mask()}"`;
const CHILD_ENDED = `ShdPnd: "${mask()}" became "${mask(CHLD)}"`;
const NO_FOLDER = "stderr: sh: 0: getcwd() failed: No such file or directory\n";

/** What dash has changed when the dispatcher becomes the launcher. */
const BY_DASH: Readonly<Record<string, readonly string[]>> = {
  // It keeps only variables with names that a shell can give them, and one of each name.
  "variables with odd names": ['environment: lost ["a.b=1","a-b=2","1x=3"], added []'],
  "every byte in a variable, and an odd name": ['environment: lost ["a.b=1"], added []'],
  "odd bytes in names": [
    `environment: lost ["ÿ=1","a\x81b=2","a b=3","a'b=4","a\\"b=5","a$b=6","a\\\\b=7","a\\tb=8","a*=9"], added []`,
  ],
  "a name that starts with a dash": ['environment: lost ["-u=1","--help=2","-=3","--=4"], added []'],
  "an empty name": ['environment: lost ["=1"], added []'],
  "a line in a name": ['environment: lost ["a\\nb=1"], added []'],
  "a variable without =": ['environment: lost ["lonely",""], added []'],
  "a variable twice": ['environment: lost ["A=1"], added []'],
  "a function of bash's": ['environment: lost ["BASH_FUNC_x%%=() {  echo hello\\n}"], added []'],
  "UTF-8 locale": ['environment: lost ["a.b=ÿÃ©"], added []'],
  // Its own are what it makes them.
  "shell's own variables": [
    'environment: lost ["IFS=x","PPID=7","OPTIND=9"], added ["OPTIND=1","PPID=0","IFS= \\t\\n","PWD=/"]',
  ],
  "PWD stale": ['environment: lost ["PWD=/nowhere"], added ["PWD=/etc"]'],
  "PWD with odd bytes": ['environment: lost ["PWD=/tmp/a\\nb"], added []'],
  "PWD empty": ['environment: lost ["PWD="], added []'],
  "folder deleted": ['environment: lost [], added ["PWD="]', NO_FOLDER],
  "folder deleted, PWD stale": ['environment: lost ["PWD=FILE.gone"], added ["PWD="]', NO_FOLDER],
  // It sets CHLD's action, and does not restore it; and it waits for all children, even for those that it did not
  // start.
  "CHLD ignored": [FORGOTTEN],
  "CHLD blocked": [CHILD_ENDED],
  "CHLD ignored and blocked": [CHILD_ENDED, FORGOTTEN],
  "CHLD ignored and pending": [FORGOTTEN],
  "every signal ignored": ['SigIgn: "fffffffe7ffbfeff" became "fffffffe7ffafeff"'],
  "every signal blocked": [CHILD_ENDED],
  "a child that is dead": ['children: "3 " became ""'],
  "a child that is dead, CHLD ignored": [FORGOTTEN],
  "a child that is dead, CHLD blocked": ['children: "3 " became ""'],
  "a child that is dead, CHLD ignored and blocked": [CHILD_ENDED, FORGOTTEN],
  // The dispatcher finds its programs by it.
  "PATH empty": ["it did not start: SHIM/portshim: 3: readlink: not found\n"],
};

test("the dispatcher: what dash does to a process, exactly; all else comes through", async () => {
  const found: Record<string, string[]> = {};
  await each(Object.entries(PROPERTIES), async ([name, property]) => {
    if (property.only === "slow") return;
    const all = await differences(property, { path: "fast", portshim: ["/usr/bin/dash", DISPATCHER] });
    const own = all
      .map((line) =>
        line
          .replace('added ["PWD=/"]', "added []")
          .replace(dirname(DISPATCHER), "SHIM")
          .replace(/\{"exit".*/, ""),
      )
      // dash always sets PWD, and the dispatcher has run some programs.
      .filter((line) => line !== "environment: lost [], added []" && !/^last_pid: /.test(line));
    if (own.length > 0) found[name] = own.sort();
  });
  assert.equal(found, BY_DASH);
});

/** A set of signals as /proc/PID/status shows it. */
function mask(...signals: number[]): string {
  return signals
    .reduce((set, n) => set | (1n << BigInt(n - 1)), 0n)
    .toString(16)
    .padStart(16, "0");
}

test.run();
