import { existsSync, readFileSync } from "node:fs";
import { machine } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { startAgent } from "./agent.js";
import { type Box, type Ended, openBox, type Script } from "./box.js";
import { type Lab, startLab } from "./lab.js";
import { type Leftovers, leftoversOf } from "./leftovers.js";
import { installStrace } from "./strace.js";

const test = suite("faults made from outside", "lab", "nodes", "tools");

/** LONG=1 takes every step; without it each so-manieth. */
const LONG = process.env.LONG === "1";
const stride = (short: number): number => (LONG ? 1 : short);

const LAUNCHER = `/usr/local/lib/node_modules/portshim/launcher/portshim-${machine()}`;
const NODE = "/usr/local/bin/node";
const START = "--timeout=2 -- echo started";
const NO_NODE = "portshim: cannot run Node.js 20 or later, which is needed here: ";

let lab: Lab;
let box: Box;
let strace: string;
let leftovers: Leftovers;
let hung: Script;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  strace = `/run/host${installStrace(lab)}`;
  await lab.polkit("YES");
  box = await openBox(lab);
  // Its alarm takes 20 seconds, during which the others run: check takes no lock. (strace -D uses the alarm itself.)
  hung = box.start(`exec ${strace} -f -o $report.trace -e inject=clone3:error=EAGAIN:when=2 ${LAUNCHER} check`);
  while (!happened(hung)) await sleep(20);
  leftovers = await leftoversOf(lab);
});
test.after(() => lab.stop());

/** A start in which this happens to the launcher, in strace's words. */
function inLauncher(fault: string): string {
  const [calls] = fault.split(":");
  return `exec ${strace} -b execve -o $report.trace -e trace=${calls} -e inject=${fault} ${LAUNCHER} ${START}`;
}

/** To the launcher's child, before it becomes Node, by calls that only the child makes. */
function inChild(fault: string, path?: string): string {
  const [calls] = fault.split(":");
  const only = path === undefined ? "" : `-P ${path}`;
  return `exec ${strace} -qq -f -b execve ${only} -o $report.trace -e trace=${calls} -e inject=${fault} ${LAUNCHER} ${START}`;
}

/** To Node and what it starts: to each of their threads, or to Node's main thread alone. */
function inHelper(fault: string, options = "-f --seccomp-bpf"): string {
  const [calls] = fault.split(":");
  const traced = `${strace} -D ${options} -o "$report.trace" -e trace=${calls} -e inject=${fault} ${NODE}`;
  return `
    mkdir $report.bin
    printf '#!/bin/sh\\nexec ${traced} "$@"\\n' >$report.bin/node
    chmod +x $report.bin/node
    PATH=$report.bin:$PATH exec ${LAUNCHER} ${START}
  `;
}

/** What strace has seen so far. */
function trace(report: string): string {
  return existsSync(`${report}.trace`) ? readFileSync(`${report}.trace`, "utf8") : "";
}

/** Whether the fault has happened: there can be fewer calls. */
function happened({ report }: Script): boolean {
  return trace(report).includes("(INJECTED)");
}

/** Runs a start, and asserts that it ended as it may, and left nothing. */
async function sound(script: string, what: string, allowed?: number[]): Promise<{ ended: Ended; script: Script }> {
  const started = box.start(script);
  const lock = setInterval(() => endStuck(started), 500);
  // The launcher's, which strace -D uses up.
  const alarm = setTimeout(() => box.start("pkill -ALRM -x 'node.*'"), 5_000);
  const ended = await started.ended(60_000).finally(() => {
    clearInterval(lock);
    clearTimeout(alarm);
  });
  await assertSound(ended, what, allowed);
  return { ended, script: started };
}

/**
 * A Node that has failed to write to the pipe which is libuv's lock for signals waits for ever. strace can have that
 * fail, but no kernel refuses a byte to an empty pipe: this Node is killed.
 */
function endStuck({ report }: Script): void {
  const [, pid] = /^(\d+) +write\(\d+, "\*", 1\) += -1 .*INJECTED/m.exec(trace(report)) ?? [];
  if (pid !== undefined) box.start(`kill -KILL ${pid}`);
}

async function assertSound({ status, stdout, stderr }: Ended, what: string, allowed = [69, 70, 77]): Promise<void> {
  const said = `${what}: status ${status}, ${stdout}\n${stderr}`;
  const { threshold, processes, isLocked } = await leftovers.look();
  if (status === 0) assert.is(stdout, "started\n", said);
  else assert.ok(allowed.includes(status) && stdout === "", said);
  assert.ok(threshold === 80 || (threshold === 1024 && status !== 0), `${said}threshold ${threshold}`);
  assert.equal(processes, [], said);
  assert.not.ok(isLocked, `${said}the lock is held`);
  // What a Node says that cannot go on, or not as quickly, is its own.
  const nodes = /^(Killed|node\[\d+\]: pthread_create: .*)\n/gm;
  const ours = stderr.includes(NO_NODE) ? stderr.slice(stderr.indexOf(NO_NODE)) : stderr.replace(nodes, "");
  assert.match(ours, /^$|^portshim: /, said);
  assert.not.match(ours, /^\s+at /m, said);
  // The last is how Node's loader words what the system said.
  assert.not.match(ours, /internal error(?!.*Cannot read package config)/, said);
  const sentences = ours.split("\n").filter((line) => /^portshim: (?!port 80 needs|Running as root)/.test(line));
  if ([69, 70, 77].includes(status)) assert.ok(sentences.length > 0, said);
}

/** The fault at the first call, at the next … until there are no more. */
async function atEach(
  fault: string,
  step: number,
  script: (fault: string) => string,
  { first = 1, most = 400 } = {},
): Promise<void> {
  let count = 0;
  for (let when = first; when <= most; when += step) {
    const name = `${fault}:when=${when}`;
    const { script: run } = await sound(script(name), name);
    if (!happened(run)) break;
    count++;
  }
  assert.ok(count > 0, `${fault}: never`);
}

for (const [fault, step, first] of [
  ["fork,clone:error=EAGAIN", 2],
  ["open,openat:error=EMFILE", 8],
  ["open,openat:error=EIO", 14],
  ["openat2:error=ENFILE", 14],
  ["read:error=EIO", 8],
  ["getdents64:error=EIO", 10],
  ["stat,fstat:error=EIO", 8],
  ["mmap,brk:error=ENOMEM", 8],
  ["fcntl:error=EMFILE", 2, 19], // The earlier ones are the fast path's.
  ["flock:error=ENOLCK", 2],
  ["socketpair:error=EMFILE", 2],
  ["recvfrom:error=EIO", 2],
] as const) {
  test(`the launcher: ${fault}`, () => atEach(fault, stride(step), inLauncher, { first: LONG ? 1 : first }));
}

test("the launcher's child, before it is Node", async () => {
  for (const call of ["prctl", "readlink", "access", "dup2", "close_range"]) {
    const fault = `${call}:signal=KILL:when=1`;
    const { ended } = await sound(inChild(fault), fault);
    assert.match(ended.stderr, `${NO_NODE}Killed\n`, fault);
  }
  for (const [fault, path] of [
    ["prctl:error=EPERM"],
    ["close_range:error=ENOSYS"],
    ["execve:error=ENOMEM", NODE],
    ["execve:error=EAGAIN", NODE],
    ["open:error=EMFILE", "/dev/null"],
  ] as const) {
    const { script } = await sound(inChild(fault, path), fault);
    assert.ok(happened(script), fault);
  }
});

for (const [fault, step, options] of [
  ["clone,vfork,fork:error=EAGAIN", 2],
  ["socketpair,pipe2:error=EMFILE", 4],
  ["connect:error=ECONNREFUSED", 2],
  ["socket:error=EMFILE", 2],
  ["execve:error=EIO", 2],
  ["epoll_ctl:error=ENOMEM", 4],
  // To Node alone: a bridge that cannot wake itself outlives a Node that dies of the same.
  ["openat:error=EMFILE", 58, "-f -b execve"],
  ["openat:error=EIO", 58, "-f -b execve"],
  ["read:error=EIO", 42, "-f -b execve"],
  ["write,writev:error=EIO", 10, "-f -b execve"],
  ["mmap:error=ENOMEM", 62, "-f -b execve"],
  ["brk:error=ENOMEM", 10, "-f -b execve"],
] as const) {
  test(`the helper: ${fault}`, () => atEach(fault, stride(step), (which) => inHelper(which, options)));
}

/** The process is killed at its second call (the first is strace's exec), at a later one … until it has ended before. */
async function killedAtEachStep(step: number, script: (fault: string) => string): Promise<void> {
  let count = 0;
  for (let when = 2; ; when += step) {
    const fault = `all:signal=KILL:when=${when}`;
    const { ended } = await sound(script(fault), fault, [69, 77, 137]);
    if (ended.status === 0) break;
    count++;
  }
  assert.ok(count > 0);
}

test("the launcher is killed at each of its steps", () => killedAtEachStep(stride(82), inLauncher));
test("the helper is killed at each of its steps", () => killedAtEachStep(stride(662), (fault) => inHelper(fault, "")));

for (const [who, stop] of [
  ["the launcher", "kill -STOP $!"],
  ["the helper", "pkill -STOP -P $!"],
  ["both", "pkill -STOP -P $!; kill -STOP $!"],
] as const) {
  test(`${who} stopped for a while, sooner or later: then it goes on`, async () => {
    for (let delay = 0; delay < 150; delay += stride(10) * 10) {
      const after = `sleep ${delay / 1000}; ${stop}; sleep 0.2; kill -CONT $!; pkill -CONT -P $!; wait $!`;
      const { ended } = await sound(`${LAUNCHER} ${START} & ${after}`, `${who} after ${delay} ms`);
      assert.is(ended.status, 0, ended.stderr);
    }
  });
}

for (const fault of [
  "clone,clone3,vfork,fork:error=EAGAIN",
  "pipe2,socketpair:error=EMFILE",
  "execve:error=EIO",
  "connect:error=ECONNREFUSED",
  "openat:error=EMFILE",
  "write,writev:error=EIO",
]) {
  test(`on the host, from flatpak-session-helper to sysctl: ${fault}`, async () => {
    for (let when = 1; when < (LONG ? 40 : 2); when++) {
      const name = `${fault}:when=${when}`;
      // The bus starts it again if the last one has ended it.
      await box.start("flatpak-spawn --host true || /usr/libexec/flatpak-xdg-utils/flatpak-spawn --host true").ended();
      const pid = (await lab.asHost(["pgrep", "-n", "-x", "flatpak-session"])).stdout.trim();
      const inject = ["-e", `trace=${fault.split(":")[0]}`, "-e", `inject=${name}`];
      const tracer = await lab.spawn("host", [strace.slice("/run/host".length), "-f", ...inject, "-p", pid]);
      await tracer.waitFor(/attached/);
      const ended = await box.start(`exec ${LAUNCHER} ${START}`).ended();
      await lab.asHost(["pkill", "-INT", "-x", "ld-linux-x86-64|ld-linux-aarch64|strace"]);
      const { stderr } = await tracer.exited;
      await assertSound(ended, name);
      if (!stderr.includes("(INJECTED)")) break;
    }
  });
}

/** On the host: what starts polkit again on a new bus. */
const POLKIT_ANEW = "systemctl start dbus polkit";

/** These end with --timeout. */
const SLOW = [
  ["systemd-logind is restarted", "systemctl restart systemd-logind", ""],
  ["polkitd is stopped", "pkill -STOP -x polkitd", "pkill -CONT -x polkitd"],
] as const;

for (const [what, act, undo] of [
  ["polkitd is restarted", "systemctl restart polkit", ""],
  ["the system bus is restarted", "systemctl restart dbus", POLKIT_ANEW],
  ["the system bus is killed", "pkill -KILL -u messagebus -x dbus-daemon", POLKIT_ANEW],
  ["the session bus is restarted", "systemctl --user --machine=ada@ restart dbus", ""],
  ...(LONG ? SLOW : []),
  ["flatpak-session-helper is stopped", "pkill -STOP -x flatpak-session", "pkill -CONT -x flatpak-session"],
  ["flatpak-session-helper is killed", "pkill -KILL -x flatpak-session", ""],
] as const) {
  test(`while the prompt is open, ${what}`, async () => {
    await lab.polkit("AUTH_ADMIN");
    const agent = await startAgent(lab);
    try {
      const start = box.start(`exec ${LAUNCHER} ${START}`);
      await agent.asked();
      await lab.asHost(["sh", "-c", act]);
      const ended = await start.ended();
      await lab.asHost(["sh", "-c", `${undo || true}`]);
      await agent.stop();
      await assertSound(ended, what);
      // Nobody has typed one.
      assert.not.match(ended.stderr, "wrong password");
      await lab.polkit("YES");
      assert.is((await sound(`exec ${LAUNCHER} ${START}`, `after ${what}`)).ended.status, 0);
    } finally {
      await lab.asHost(["sh", "-c", `${undo || true}`]);
      await lab.polkit("YES");
    }
  });
}

test("little memory: the server runs, or the kernel kills Node, and portshim says so", async () => {
  // Of either version of cgroups.
  const make = `
    if grep -qw memory /sys/fs/cgroup/cgroup.controllers; then
      mkdir /sys/fs/cgroup/small && cd /sys/fs/cgroup/small
      echo +memory >../cgroup.subtree_control && echo "$1" >memory.max
    else
      mkdir -p /run/memory && mount -t cgroup -o memory memory /run/memory
      mkdir /run/memory/small && cd /run/memory/small && echo "$1" >memory.limit_in_bytes
    fi && pwd
  `;
  for (const size of ["32M", "12M"]) {
    const { stdout, stderr } = await lab.asHost(["sh", "-c", make, "sh", size]);
    assert.match(stdout, /small\n$/, stderr);
    const folder = stdout.trim();
    const started = box.start(`echo $$ >$report.pid; until [ -e $report.go ]; do sleep 0.02; done
      exec ${LAUNCHER} ${START}`);
    const enter = `until [ -s "$1.pid" ]; do sleep 0.02; done; cat "$1.pid" >"$2/cgroup.procs" && touch "$1.go"`;
    const inside = started.report.slice(lab.root.length);
    assert.is((await lab.asHost(["sh", "-c", enter, "sh", inside, folder])).status, 0);
    const ended = await started.ended(60_000);
    await assertSound(ended, size);
    const end = 'rmdir "$1"; mountpoint -q /run/memory && umount /run/memory; true';
    await lab.asHost(["sh", "-c", end, "sh", folder]);
    if (size === "12M") assert.match(ended.stderr, `${NO_NODE}Killed\n`);
  }
});

test("an address space of 32 MB", async () => {
  const { ended } = await sound(`ulimit -v 32768; exec ${LAUNCHER} ${START}`, "ulimit -v");
  assert.is(ended.status, 69);
});

test("few descriptors", async () => {
  for (let most = 4; most < 40; most += stride(18)) {
    await sound(`ulimit -n ${most}; exec ${LAUNCHER} ${START}`, `ulimit -n ${most}`);
  }
});

test("a full disk: where the lock is, and where standard error goes", async () => {
  const full = "/tmp/full";
  const make =
    'mkdir "$1" && mount -t tmpfs -o "size=4k,mode=700,uid=$2,gid=$2" tmpfs "$1" && head -c 4k /dev/zero >"$1/full"';
  const made = await lab.asHost(["sh", "-c", make, "sh", full, `${lab.uid}`]);
  assert.is(made.status, 0, made.stderr);
  const start = `XDG_RUNTIME_DIR=${full} exec ${LAUNCHER} ${START}`;
  assert.is((await sound(start, "full")).ended.status, 0);
  await lab.polkit("NO");
  const { ended } = await sound(start, "full, refused");
  await lab.polkit("YES");
  assert.is(ended.status, 77, ended.stderr);
  assert.match(ended.stderr, "portshim: cannot note the refusal: No space left on device\n");
  assert.is((await sound(`exec ${LAUNCHER} ${START} 2>/dev/full`, "full stderr")).ended.status, 0);
});

test("a Node that hangs, as it does if it cannot start a thread, is ended after 20 seconds", async () => {
  const { status, stdout, stderr } = await hung.ended();
  assert.equal([status, stdout], [69, ""], stderr);
  assert.match(stderr, `${NO_NODE}Alarm clock\n`);
});

// The last: most often systemd, which starts the user's programs and the bus, waits 90 seconds for a bus that it has to start
// itself.
test("while the prompt is open, the session bus is killed", async () => {
  await lab.polkit("AUTH_ADMIN");
  const agent = await startAgent(lab);
  const start = box.start(`exec ${LAUNCHER} ${START}`);
  await agent.asked();
  await lab.asHost(["pkill", "-KILL", "-u", lab.user, "-x", "dbus-daemon"]);
  const { status, stdout, stderr } = await start.ended();
  await agent.stop();
  assert.equal([status, stdout], [69, ""], stderr);
  assert.match(stderr, "flatpak-spawn ended without an answer: the session bus went away\n");
  const { threshold, isLocked, processes } = await leftovers.look();
  // What has ended, and systemd has not taken note of, has no arguments any more.
  const alive = processes.filter((line) => !line.endsWith(" "));
  assert.equal([threshold, isLocked, alive], [1024, false, []]);
  await lab.polkit("YES");
  const next = () => box.start(`exec ${LAUNCHER} ${START}`).ended();
  let later = await next();
  const deadline = Date.now() + 150_000;
  while (later.status !== 0 && Date.now() < deadline) {
    assert.is(later.status, 69, later.stderr);
    assert.match(later.stderr, "flatpak-spawn did not answer within 10 seconds\n");
    if (!LONG) return;
    later = await next();
  }
  assert.is(later.status, 0, later.stderr);
});

test.run();
