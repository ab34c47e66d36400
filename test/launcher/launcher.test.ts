import { spawn, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as assert from "uvu/assert";
import { inNamespace, PATH_WITHOUT_NODE, pathWith, type Situation } from "../namespace.js";
import { NODE_VERSIONS, node, PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("launcher", "root", "tools", "nodes");

const LIBRARY = join(ROOT, "shim", "lib");
const directory = mkdtempSync(join(tmpdir(), "portshim-launcher-"));
chmodSync(directory, 0o755);
process.on("exit", () => rmSync(directory, { recursive: true }));

let made = 0;

/** A new folder. */
function folder(): string {
  const path = join(directory, String(++made));
  mkdirSync(path);
  return path;
}

/** A PATH in which the only Node is this script. */
function pathWithNode(script: string, mode = 0o755): string {
  const bin = folder();
  writeFileSync(join(bin, "node"), script, { mode });
  return `${bin}:${PATH_WITHOUT_NODE}`;
}

/** --start makes a test independent of this machine's files; an empty sysctl.d tree would need a mount. */
const START = "--start=80";
const STARTED = ["--", "/bin/sh", "-c", "echo started"];
const ANYWAY = "portshim: starting the command anyway (--optional)\n";

const run = (argv: readonly string[], situation: Partial<Situation> = {}) =>
  inNamespace([PORTSHIM, ...argv], { threshold: 1024, ...situation });

test("nothing to do: no Node, and the command's status", () => {
  const env = { PATH: PATH_WITHOUT_NODE };
  const { status, stdout, stderr } = run([START, "--", "/bin/sh", "-c", "exit 7"], { threshold: 80, env });
  assert.equal([status, stdout, stderr], [7, "", ""]);
});

/** The system calls of these kinds that a start makes, its children's included. */
function calls(kinds: string, argv: readonly string[], threshold: number): string[] {
  const trace = join(folder(), "trace");
  const { status } = inNamespace(["/usr/bin/strace", "-fqq", `-etrace=${kinds}`, "-o", trace, PORTSHIM, ...argv], {
    threshold,
  });
  assert.is(status, 0);
  return readFileSync(trace, "latin1")
    .split("\n")
    .filter((line) => /^\d+ +\w+\(/.test(line));
}

test("nothing to do: no child, nothing is written to any descriptor", () => {
  assert.equal(calls("write,writev,fork,vfork,clone,clone3", [START, "--", "/bin/true"], 80), []);
});

test("something to do: nothing is written to standard output", () => {
  const written = calls("write,writev", [START, "--", "/bin/true"], 1024);
  assert.ok(written.some((line) => /write\w*\(2, /.test(line)));
  assert.not(written.some((line) => /write\w*\(1, /.test(line)));
});

test("if the setting can be written it is, then the command starts", () => {
  const { status, stdout, stderr, threshold } = run([START, ...STARTED]);
  assert.equal([status, stdout, threshold], [0, "started\n", 80]);
  assert.match(stderr, /^portshim: .*\nportshim: Done.*\n {4}portshim persist.*\n$/);
});

test("--quiet says nothing about success", () => {
  for (const [flags, env] of [
    [["--quiet"], {}],
    [[], { PORTSHIM_QUIET: "1" }],
  ] as const) {
    const { status, stdout, stderr, threshold } = run([START, ...flags, ...STARTED], {
      env: { PATH: pathWith(26), ...env },
    });
    assert.equal([status, stdout, stderr, threshold], [0, "started\n", "", 80]);
  }
});

test("--verbose says what was found, even if nothing has to be done", () => {
  const { stdout, stderr } = run([START, "--verbose", ...STARTED], { threshold: 80 });
  assert.is(stdout, "started\n");
  assert.match(stderr, /place: .*\nthreshold: 80, wanted: 80 \(--start\)\nbridge: /);
});

test("--dry-run changes and starts nothing", () => {
  const { status, stdout, stderr, threshold } = run([START, "--dry-run", ...STARTED]);
  assert.equal([status, stderr, threshold], [0, "", 1024]);
  assert.match(stdout, /yes {2}write: [\s\S]*Would use the route write\.\n$/);
});

test("--dry-run if there is no way: 69", () => {
  const { status, stdout, threshold } = run([START, "--dry-run", "--via=write"], { ordinary: true });
  assert.equal([status, threshold], [69, 1024]);
  assert.match(stdout, /There is no way from here\.\n[\s\S]*sudo sysctl -w/);
});

test("--help and --version write to stdout, with status 0", () => {
  const help = run(["--help"]);
  assert.equal([help.status, help.stderr], [0, ""]);
  assert.match(help.stdout, /^Usage: portshim \[options\] -- command/);
  const version = run(["--version"]);
  assert.equal([version.status, version.stderr], [0, ""]);
  assert.match(version.stdout, /^portshim \d+\.\d+\.\d+\n$/);
});

const MISUSE: readonly (readonly [argv: readonly string[], sentence: RegExp])[] = [
  [[], /no command to start/],
  [[""], /put -- before the command/],
  [["--"], /no command after --/],
  [["--", ""], /no command after --/],
  [["--", "-c", "x"], /must not start with a dash: "-c"/],
  [["--", "--"], /must not start with a dash: "--"/],
  [["--frob", ...STARTED], /unknown option "--frob"/],
  [["frob", ...STARTED], /only options can precede --, not "frob"/],
  [["--start"], /--start needs a value/],
  [["--start", ...STARTED], /--start needs a value/],
  [["--start=1025", ...STARTED], /--start must be an integer from 0 to 1024/],
  [["--start=", ...STARTED], /--start must be an integer from 0 to 1024/],
  [["--start=x", "--start=80", ...STARTED], /--start must be an integer from 0 to 1024/],
  [["--timeout=0", ...STARTED], /--timeout must be an integer from 1 to 86400/],
  [["--user", ...STARTED], /--user needs a value/],
  [["/bin/true"], /put -- before the command: portshim -- \/bin\/true/],
];
for (const [argv, sentence] of MISUSE) {
  test(`${JSON.stringify(argv)} is rejected with 64, whatever the threshold, --optional or not`, () => {
    for (const threshold of [0, 1024]) {
      const result = run(argv, { threshold, env: { PATH: pathWith(26), PORTSHIM_OPTIONAL: "1" } });
      assert.equal([result.status, result.stdout, result.threshold], [64, "", threshold]);
      assert.match(result.stderr, sentence);
      assert.match(result.stderr, /^portshim: .*\n$/, "one sentence");
    }
  });
}

test("a wrong variable is rejected with 64, whatever the threshold, by a start and by check", () => {
  const wrong: NodeJS.ProcessEnv[] = [
    { PORTSHIM_START: "http" },
    { PORTSHIM_TIMEOUT: "-1" },
    { PORTSHIM_OPTIONAL: "yes" },
    { PORTSHIM_QUIET: "2" },
    { PORTSHIM_VIA: "pigeon" },
  ];
  for (const variables of wrong) {
    for (const argv of [STARTED, ["check"]]) {
      const { status, stdout, stderr } = run(argv, { threshold: 0, env: { PATH: pathWith(26), ...variables } });
      assert.equal([status, stdout], [64, ""], JSON.stringify(variables));
      assert.match(stderr, /^portshim: PORTSHIM_[A-Z]+ must be .*\n$/);
    }
  }
});

test("a variable that asked is named", () => {
  const { stderr } = run(STARTED, { env: { PATH: pathWith(26), PORTSHIM_START: "80" } });
  assert.match(stderr, /^portshim: PORTSHIM_START /);
});

test("no such command: 127; it cannot be executed: 126; and nothing is changed", () => {
  const missing = "No such file or directory";
  for (const [command, status, sentence, helpers = sentence] of [
    ["/nonexistent", 127, missing],
    ["chekc", 127, missing],
    ["/bin/true/x", 127, "Not a directory", missing],
    ["/etc", 126, "Permission denied"],
    ["/etc/passwd", 126, "Permission denied"],
  ] as const) {
    for (const threshold of [80, 1024]) {
      const result = run([START, "--", command], { threshold });
      const stderr = `portshim: ${command}: ${threshold === 80 ? sentence : helpers}\n`;
      assert.equal([result.status, result.threshold, result.stderr], [status, threshold, stderr]);
    }
  }
});

test("a command's path, or PATH, that is not UTF-8 is found with and without the helper", () => {
  const script = `
    bytes="$1/$(printf 'caf\\351')" && mkdir "$bytes" && cp /bin/true "$bytes/server" || exit
    "$0" --start=80 -- "$bytes/server" && PATH="$bytes:$PATH" "$0" --start=80 -- server
  `;
  for (const threshold of [80, 1024]) {
    const run = inNamespace(["/bin/sh", "-c", script, PORTSHIM, folder()], {
      threshold,
      env: { PATH: `${pathWith(26)}:/usr/bin` },
    });
    assert.is(run.status, 0, run.stderr);
  }
});

test("control characters in a command's name are not printed", () => {
  const command = "/x\u001b]0;title\u0007\r\n\u007fy";
  const shown = [
    [80, "portshim: /x?]0;title????y: No such file or directory\n"],
    [1024, "portshim: /x ]0;title y: No such file or directory\n"],
  ] as const;
  for (const [threshold, stderr] of shown) {
    const result = run([START, "--", command], { threshold });
    assert.equal([result.status, result.stderr], [127, stderr]);
  }
});

const noNode = (reason: string) =>
  `portshim: cannot run Node.js 20 or later, which is needed here: ${reason}
Install it, or allow it more memory and processes, or lower the threshold from outside:
    sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80    (on the host, if its network is shared)
    podman run --sysctl net.ipv4.ip_unprivileged_port_start=80 …    (or docker, if not)
`;
const NO_NODE = noNode("No such file or directory");

test("no Node: 69, and what to do in either network; with --optional the command starts", () => {
  const env = { PATH: PATH_WITHOUT_NODE };
  const { status, stdout, stderr, threshold } = run([START, ...STARTED], { env });
  assert.equal([status, stdout, stderr, threshold], [69, "", NO_NODE, 1024]);
  for (const [flags, variables] of [
    [["--optional"], {}],
    [[], { PORTSHIM_OPTIONAL: "1" }],
  ] as const) {
    const same = run([...flags, START, ...STARTED], { env: { ...env, ...variables } });
    assert.equal([same.status, same.stdout, same.stderr], [0, "started\n", NO_NODE + ANYWAY]);
  }
});

test("no Node: a server that should be dropped does not start, --optional or not", () => {
  for (const [flags, variables] of [
    [["--user=65534"], {}],
    [["--user", "65534"], {}],
    [[], { PORTSHIM_USER: "65534" }],
  ] as const) {
    for (const threshold of [80, 1024]) {
      const env = { PATH: PATH_WITHOUT_NODE, PORTSHIM_OPTIONAL: "1", ...variables };
      const { status, stdout, stderr } = run([START, "--optional", ...flags, ...STARTED], { threshold, env });
      assert.equal([status, stdout, stderr], [69, "", NO_NODE]);
    }
  }
});

test("no Node: check and persist say so, with 69 even with PORTSHIM_OPTIONAL", () => {
  for (const argv of [["check"], ["persist"], ["check", "--optional"], ["persist", "--json"], ["check", "--", "x"]]) {
    const env = { PATH: PATH_WITHOUT_NODE, PORTSHIM_OPTIONAL: "1" };
    const { status, stdout, stderr, threshold } = run(argv, { env });
    assert.equal([status, stdout, stderr, threshold], [69, "", NO_NODE, 1024]);
  }
});

test("a Node that cannot be started says why, with 69", () => {
  for (const [path, reason] of [
    [pathWithNode("#!/bin/sh\n", 0o644), "Permission denied"],
    [pathWithNode("#!/nonexistent/interpreter\n"), "No such file or directory"],
    [pathWithNode("no program"), "Exec format error"],
  ] as const) {
    const { status, stdout, stderr } = run([START, ...STARTED], { env: { PATH: path } });
    assert.equal([status, stdout, stderr], [69, "", noNode(reason)]);
  }
});

test("Debian's old name of Node works, too", () => {
  const bin = folder();
  symlinkSync(node(26), join(bin, "nodejs"));
  const { status, threshold } = run([START, ...STARTED], { env: { PATH: `${bin}:${PATH_WITHOUT_NODE}` } });
  assert.equal([status, threshold], [0, 80]);
});

for (const version of NODE_VERSIONS) {
  test(`by Node ${version}`, () => {
    const { status, stdout, threshold } = run([START, ...STARTED], { env: { PATH: pathWith(version) } });
    assert.equal([status, stdout, threshold], [0, "started\n", 80]);
  });
}

test("an old Node says so, with 69, and --optional starts the command", () => {
  // Marked fake: no Node below 20 is available. This is a new one that reports an old version.
  const patch = join(folder(), "patch.js");
  const versions = '{ ...process.versions, node: "18.20.4" }';
  writeFileSync(patch, `Object.defineProperty(process, "versions", { value: ${versions} });\n`);
  const env = { PATH: pathWithNode(`#!/bin/sh\nexec ${node(26)} --require ${patch} "$@"\n`) };
  const sentence = "portshim: needs Node.js 20 or later, and this is 18.20.4\n";
  const { status, stdout, stderr, threshold } = run([START, ...STARTED], { env });
  assert.equal([status, stdout, stderr, threshold], [69, "", sentence, 1024]);
  const same = run([START, "--optional", ...STARTED], { env });
  assert.equal([same.status, same.stdout, same.stderr], [0, "started\n", sentence + ANYWAY]);
});

test("an old Node can parse main.js", () => {
  const text = readFileSync(join(LIBRARY, "main.js"), "utf8");
  assert.match(text, /process\.versions\.node/);
  assert.not.match(text, /=>|`|\?\.|\?\?|\b(?:const|let|class|async|import)\b/);
});

test("main.js by hand: 64", () => {
  const { status, stdout, stderr } = spawnSync(
    "/usr/bin/unshare",
    ["--net", node(26), join(LIBRARY, "main.js"), START, ...STARTED],
    { encoding: "utf8" },
  );
  assert.equal([status, stdout, stderr], [64, "", "portshim: main.js is started by portshim, not by hand\n"]);
});

test("a helper that was killed: 69; with --optional the command starts, but not with --user", () => {
  // Marked fake: it dies like a Node that the kernel kills because memory is short.
  const env = { PATH: pathWithNode("#!/bin/sh\nkill -9 $$\n") };
  const sentence = noNode("Killed");
  for (const [flags, expected] of [
    [[], [69, "", sentence]],
    [["--optional"], [0, "started\n", sentence + ANYWAY]],
    [
      ["--optional", "--user=65534"],
      [69, "", sentence],
    ],
  ] as const) {
    const { status, stdout, stderr } = run([START, ...flags, ...STARTED], { env });
    assert.equal([status, stdout, stderr], expected);
  }
});

/** Puts the launcher below `home`, and its helper, if wanted. */
function install(home: string, layout: "image" | "npm", isWhole = true): string {
  const [launcher, library] =
    layout === "npm" ? [`launcher/${basename(PORTSHIM)}`, "lib"] : ["bin/portshim", "lib/portshim"];
  cpSync(PORTSHIM, join(home, launcher));
  if (isWhole) cpSync(LIBRARY, join(home, library), { recursive: true });
  return join(home, launcher);
}

for (const layout of ["npm", "image"] as const) {
  test(`in the layout of ${layout}, and through a link`, () => {
    const home = folder();
    const launcher = install(home, layout);
    symlinkSync(launcher, join(home, "link"));
    for (const path of [launcher, join(home, "link")]) {
      const { status, stdout, threshold } = inNamespace([path, START, ...STARTED], { threshold: 1024 });
      assert.equal([status, stdout, threshold], [0, "started\n", 80]);
    }
  });
}

test("without main.js: 70, and where it was looked for; with --optional the command starts", () => {
  const home = folder();
  const launcher = install(home, "image", false);
  const sentence = `portshim: internal error: portshim is not installed completely: ${home}/bin/../lib/main.js: No such file or directory\n`;
  for (const [flags, expected] of [
    [[], [70, "", sentence]],
    [["--optional"], [0, "started\n", sentence + ANYWAY]],
  ] as const) {
    const { status, stdout, stderr } = inNamespace([launcher, START, ...flags, ...STARTED], { threshold: 1024 });
    assert.equal([status, stdout, stderr], expected);
  }
});

test("without /proc it uses the helper of an image", () => {
  const home = folder();
  install(home, "image");
  const prepare = `mount --bind ${home} /usr/local; mount -t tmpfs tmpfs /proc`;
  const { status, stdout, stderr } = inNamespace(["/usr/local/bin/portshim", "--version"], {
    threshold: 1024,
    prepare,
  });
  assert.equal([status, stderr], [0, ""]);
  assert.match(stdout, /^portshim /);
});

test("a root with nothing but the launcher and one static program", () => {
  const root = folder();
  cpSync(PORTSHIM, join(root, "usr/local/bin/portshim"));
  // By this name busybox is echo.
  cpSync("/usr/bin/busybox", join(root, "echo"));
  // Every runtime mounts /proc, and /dev.
  for (const name of ["proc", "dev"]) mkdirSync(join(root, name));
  const prepare = `mount --bind /proc ${root}/proc; mount --bind /dev ${root}/dev`;
  const start = (threshold: number) => {
    const argv = ["/usr/sbin/chroot", root, "/usr/local/bin/portshim", "--", "/echo", "started"];
    const { status, stdout, stderr } = inNamespace(argv, { threshold, prepare });
    return [status, stdout, stderr];
  };
  assert.equal(start(80), [0, "started\n", ""]);
  const sentence = "portshim: internal error: portshim is not installed completely: ";
  const path = "/usr/local/bin/../lib/main.js: No such file or directory\n";
  assert.equal(start(1024), [70, "", sentence + path]);
  // As in an image, without a Node.
  cpSync(LIBRARY, join(root, "usr/local/lib/portshim"), { recursive: true });
  assert.equal(start(80), [0, "started\n", ""]);
  assert.equal(start(1024), [69, "", NO_NODE]);
});

test("check: 0, 1 and 2, and nothing is started", () => {
  const check = (threshold: number, argv: string[], ordinary: boolean) => {
    const result = run(["check", START, ...argv], { threshold, ordinary });
    assert.equal([result.stderr, result.threshold], ["", threshold]);
    return [result.status, /Nothing to|would use the route|There is no way/.exec(result.stdout)?.[0]];
  };
  assert.equal(check(80, [], false), [0, "Nothing to"]);
  assert.equal(check(1024, [], false), [1, "would use the route"]);
  assert.equal(check(1024, ["--via=write"], true), [2, "There is no way"]);
});

test("check, persist and guard: wrong options, and their help", () => {
  for (const command of ["check", "persist", "guard"]) {
    const wrong = run([command, "--frob"]);
    assert.equal([wrong.status, wrong.stdout], [64, ""]);
    assert.is(wrong.stderr, `portshim: unknown option "--frob"; see portshim ${command} --help\n`);
    const help = run([command, "--help"]);
    assert.equal([help.status, help.stderr], [0, ""]);
    assert.match(help.stdout, new RegExp(`^Usage: portshim ${command} \\[options\\]\n[^]*\nExit status:\n  0  `));
  }
});

test("--optional starts the command after a failure, and not after misuse", () => {
  const failed = run([START, "--optional", "--via=write", ...STARTED], { ordinary: true });
  assert.equal([failed.status, failed.stdout, failed.threshold], [0, "started\n", 1024]);
  assert.match(failed.stderr, /^portshim: [\s\S]*sudo sysctl -w[\s\S]*anyway \(--optional\)\n$/);
  const misused = run(["--optional", "--start=x", ...STARTED]);
  assert.equal([misused.status, misused.stdout], [64, ""]);
});

test("output that cannot be written is a failure; a reader that has read enough is not", () => {
  const inShell = (script: string) => inNamespace(["/bin/sh", "-c", script, PORTSHIM], { threshold: 80 });
  for (const argv of ["check --start=80 --json", "--help", "--dry-run --start=80"]) {
    const full = inShell(`"$0" ${argv} >/dev/full`);
    assert.is(full.status, 69, argv);
    assert.match(full.stderr, /^portshim: cannot write the output: ENOSPC: no space left on device, write\n$/);
  }
  const closed = inShell('exec 3>&1; { "$0" check --start=80; echo "$?" >&3; } | true');
  assert.equal([closed.stdout, closed.stderr], ["0\n", ""]);
});

test("a standard error that nobody reads keeps no server waiting for long", () => {
  const full = `
    $^F = 255; pipe(R, W); fcntl(W, F_SETFL, O_NONBLOCK);
    1 while syswrite(W, "x" x 4096);
    open(STDERR, ">&W"); exec @ARGV`;
  const { status, stdout, threshold } = inNamespace(
    ["/usr/bin/perl", "-MFcntl", "-e", full, PORTSHIM, START, ...STARTED],
    { threshold: 1024 },
  );
  assert.equal([status, stdout, threshold], [0, "started\n", 80]);
});

test("a standard error whose reader has gone ends neither portshim nor, with --optional, the server", () => {
  const gone = '$^F = 255; pipe(R, W); close(R); open(STDERR, ">&W"); exec @ARGV';
  const env = { PATH: PATH_WITHOUT_NODE };
  for (const [flags, expected] of [
    [[], [69, ""]],
    [["--optional"], [0, "started\n"]],
  ] as const) {
    const argv = ["/usr/bin/perl", "-e", gone, PORTSHIM, START, ...flags, ...STARTED];
    const { status, stdout } = inNamespace(argv, { threshold: 1024, env });
    assert.equal([status, stdout], expected);
  }
});

test("Node's variables are the server's and not the helper's", () => {
  const mark = join(folder(), "mark");
  const required = join(folder(), "required.js");
  writeFileSync(required, `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "")\n`);
  const variables = [`NODE_OPTIONS=--require=${required}`, "NODE_CHANNEL_FD=3", "NODE_EXTRA_CA_CERTS=/x", "NODEX=1"];
  // Only portshim runs a Node here: the test's shell does not.
  const argv = ["/usr/bin/env", ...variables, PORTSHIM, START, "--", "/usr/bin/env"];
  const { status, stdout, threshold } = inNamespace(argv, { threshold: 1024 });
  assert.equal([status, threshold], [0, 80]);
  for (const variable of variables) assert.ok(stdout.split("\n").includes(variable), variable);
  assert.throws(() => readFileSync(mark), /ENOENT/);
});

test("a launcher that is set-user-ID or set-group-ID refuses to run, with 77", () => {
  const bin = folder();
  const copy = `${bin}/portshim`;
  for (const [owner, mode, ordinary] of [
    ["65534:0", 4755, false],
    ["0:65534", 2755, false],
    ["0:0", 4755, true],
    ["0:0", 2755, true],
  ] as const) {
    // A mount of its own: /tmp can be nosuid.
    const prepare = `mount -t tmpfs -o mode=755 tmpfs ${bin}; cp ${PORTSHIM} ${copy}; chown ${owner} ${copy}; chmod ${mode} ${copy}`;
    for (const argv of [[START, ...STARTED], ["--with-parent", "1", "/bin/echo"], ["check"]]) {
      const { status, stdout, stderr } = inNamespace([copy, ...argv], { threshold: 80, prepare, ordinary });
      assert.equal([status, stdout], [77, ""]);
      assert.is(stderr, "portshim: the program must not be set-user-ID or set-group-ID\n");
    }
  }
});

/** A mount in which `program`, a copy of `original`, has the port's capability. */
function capable(original: string, program: string): string {
  return `cp ${original} ${program} && setcap cap_net_bind_service=+ep ${program}`;
}

const LISTEN = 'require("net").createServer().listen(80, () => { console.log("bound"); process.exit(); })';

test("a file capability of Node is not the server's: it cannot bind, and portshim says so", () => {
  const bin = folder();
  const prepare = `mount -t tmpfs -o mode=755 tmpfs ${bin}; ${capable(node(26), `${bin}/node`)}`;
  const situation = { ordinary: true, prepare, env: { PATH: `${bin}:${PATH_WITHOUT_NODE}` } };
  const bound = inNamespace(["node", "-e", LISTEN], { threshold: 1024, ...situation });
  assert.equal([bound.status, bound.stdout], [0, "bound\n"], "that Node can bind");
  const { status, stdout, stderr } = run([START, "--via=capability", ...STARTED], situation);
  assert.equal([status, stdout], [69, ""]);
  assert.match(stderr, /cannot lower \S+ from here/);
});

test("a file capability of the launcher ends with exec, and it runs", () => {
  const home = folder();
  const launcher = `${home}/launcher/portshim`;
  // Mounted: a program with file capabilities loses those by which the test enters a checkout that is closed to others.
  const mounts = [
    ["lib", LIBRARY, "mkdir"],
    ["node", node(26), "touch"],
  ].map(([name, original, make]) => `${make} ${home}/${name}; mount --bind ${original} ${home}/${name}`);
  const prepare = `mount -t tmpfs -o mode=755 tmpfs ${home}; mkdir ${home}/launcher; ${mounts.join("; ")}; ${capable(PORTSHIM, launcher)}`;
  const start = (threshold: number, ...argv: string[]) =>
    inNamespace([launcher, START, ...argv], { threshold, ordinary: true, prepare, env: { PATH: home } });
  const { status, stdout, stderr } = start(80, "--", "/bin/grep", "^CapEff", "/proc/self/status");
  assert.equal([status, stdout, stderr], [0, "CapEff:\t0000000000000000\n", ""]);
  const refused = start(1024, "--via=capability", ...STARTED);
  assert.equal([refused.status, refused.stdout], [69, ""]);
  assert.match(refused.stderr, /cannot lower \S+ from here/);
});

test("a reply to a launcher that has been killed is no error", async () => {
  const script = `process.stdin.once("data", () => { require(LIBRARY).send({ refused: true }); console.log("went on"); }).resume()`;
  const helper = spawn(
    node(26),
    ["-e", script.replace("LIBRARY", JSON.stringify(join(LIBRARY, "protocol", "reply.js")))],
    {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
    },
  );
  helper.stdio[3]?.destroy();
  helper.stdin?.write("go");
  helper.stdin?.end();
  let said = "";
  for (const stream of [helper.stdout, helper.stderr])
    stream?.on("data", (text) => {
      said += text;
    });
  const status = await new Promise((resolve) => helper.once("close", resolve));
  assert.equal([status, said], [0, "went on\n"]);
});

test.run();
