import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { NAME as LOCK } from "../../shim/lib/lock.js";
import { suite } from "../suite.js";
import { type Agent, setPassword, startAgent } from "./agent.js";
import { type Lab, startLab } from "./lab.js";

const test = suite("servers that start together", "lab", "nodes");

const NAME = "net.ipv4.ip_unprivileged_port_start";
const PASSWORD = "correct horse";
const ASKED = `/usr/sbin/sysctl -w ${NAME}=80`;

let lab: Lab;
let agent: Agent | undefined;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
  await setPassword(lab, PASSWORD);
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
});
test.after.each(async () => {
  await agent?.stop();
  agent = undefined;
});

/** Takes the port from 80 up that it is told, and says so. */
const BIND = `
  use Socket;
  socket my $s, AF_INET, SOCK_STREAM, 0;
  bind $s, sockaddr_in($ARGV[0], INADDR_ANY) or die "bind() to $ARGV[0] failed: $!\\n";
  print "bound $ARGV[0]\\n";
`;

/** $1 is the folder of the Nodes, $2 where the reports go, $3 how many servers, $4 the program. */
const TOGETHER = `
  i=0
  while [ $i -lt $3 ]; do
    case $((i % 2)) in 0) node=$1/node20/bin ;; *) node=$1/node26/bin ;; esac
    (
      PATH=$node:$PATH portshim -- perl -e "$4" $((80 + i)) >"$2/$i.out" 2>"$2/$i.err"
      echo $? >"$2/$i.status"
    ) &
    i=$((i + 1))
  done
  wait
`;

interface Start {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

let rounds = 0;

/**
 * Starts servers in the toolbox, half with the oldest Node and half with the newest; each takes a port, from 80 up.
 * `ended` is how each start ended, in that order.
 */
async function together(count: number): Promise<{ ended: Promise<Start[]> }> {
  const reports = `/run/user/${lab.uid}/portshim-lab/together.${++rounds}`;
  await lab.asUser(["mkdir", reports]);
  const nodes = `/run/host${lab.repository}/node_modules`;
  const running = await lab.spawn("toolbox", ["sh", "-c", TOGETHER, "sh", nodes, reports, `${count}`, BIND]);
  const report = (index: number, what: string) => readFileSync(`${lab.root}${reports}/${index}.${what}`, "utf8");
  const ended = running.exited.then(() =>
    Array.from({ length: count }, (_, index) => ({
      status: Number(report(index, "status")),
      stdout: report(index, "out"),
      stderr: report(index, "err"),
    })),
  );
  return { ended };
}

/** Waits until so many wait for the one that holds the lock. */
async function waiting(count: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    // The holder's own socket, and one more for each that is connected to it.
    const { stdout } = await lab.asHost(["grep", "-c", "@portshim: net.ipv4", "/proc/net/unix"]);
    if (Number(stdout) === count + 1) return;
    if (Date.now() > deadline) throw new Error(`${stdout.trim()} sockets, not ${count + 1}`);
    await sleep(20);
  }
}

test("twenty, and polkit says yes: one question, all start", async () => {
  await lab.polkit("YES");
  const before = (await lab.prompts()).length;
  const starts = await (await together(20)).ended;
  starts.forEach((start, index) => {
    assert.equal([start.status, start.stdout], [0, `bound ${80 + index}\n`], start.stderr);
  });
  assert.equal((await lab.prompts()).slice(before), [ASKED]);
});

test("twenty, one password: one prompt, all start", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(20);
  await waiting(19);
  await agent.asked();
  agent.type(PASSWORD);
  const starts = await ended;
  starts.forEach((start, index) => {
    assert.equal([start.status, start.stdout], [0, `bound ${80 + index}\n`], start.stderr);
  });
  assert.equal((await lab.prompts()).slice(before), [ASKED]);
  // What runs as root was said once, by the one that asked.
  assert.is(starts.filter(({ stderr }) => stderr.includes("About to run as root")).length, 1);
});

test("twenty, a wrong password: one prompt, all say that it was refused", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(20);
  await waiting(19);
  await agent.asked();
  agent.type("wrong");
  const starts = await ended;
  const first = `portshim: the host refused to set ${NAME}: not authorized by policy, or a wrong password`;
  const others = `portshim: another portshim has just asked, and was refused: the host refused to set ${NAME}: not authorized`;
  for (const start of starts) {
    assert.equal([start.status, start.stdout], [125, ""]);
    assert.ok(start.stderr.includes(first) || start.stderr.includes(others), start.stderr);
    assert.match(start.stderr, `Run this on the host, then start again:\n    sudo sysctl -w ${NAME}=80\n`);
  }
  assert.is(starts.filter(({ stderr }) => stderr.includes(others)).length, 19);
  assert.equal([(await lab.prompts()).slice(before), await lab.threshold()], [[ASKED], 1024]);
});

test("twenty, and polkit says no: one question, all say that it was refused", async () => {
  await lab.polkit("NO");
  const before = (await lab.prompts()).length;
  // A no at once would be over before the last of them has started.
  await lab.asHost(["pkill", "-STOP", "-x", "polkitd"]);
  const { ended } = await together(20);
  await waiting(19);
  await lab.asHost(["pkill", "-CONT", "-x", "polkitd"]);
  const starts = await ended;
  for (const start of starts) {
    assert.equal([start.status, start.stdout], [125, ""]);
    assert.match(start.stderr, `the host refused to set ${NAME}: not authorized by policy`);
  }
  assert.equal([(await lab.prompts()).slice(before), await lab.threshold()], [[ASKED], 1024]);
});

for (const victim of ["portshim", "its helper"]) {
  test(`${victim} is killed while it has the prompt open: the next one asks`, async () => {
    await lab.polkit("AUTH_ADMIN");
    agent = await startAgent(lab);
    const before = (await lab.prompts()).length;
    const { ended } = await together(4);
    await waiting(3);
    await agent.asked();
    // pkttyagent cannot ask for a second one.
    await lab.polkit("YES");
    const helper = await parentOf("-C", "flatpak-spawn");
    const killed = victim === "portshim" ? await parentOf("-p", helper) : helper;
    await lab.asHost(["kill", "-KILL", killed]);
    const starts = await ended;
    assert.equal(starts.map(({ status }) => status).sort(), [0, 0, 0, victim === "portshim" ? 137 : 125]);
    assert.equal((await lab.prompts()).slice(before), [ASKED, ASKED]);
  });
}

test("a stranger on the lock's name costs two seconds", async () => {
  await lab.polkit("YES");
  const squat = `
    use Socket;
    socket my $s, AF_UNIX, SOCK_STREAM, 0;
    bind $s, sockaddr_un("\\0" . $ARGV[0]) or die "$!\\n";
    listen $s, 100;
    $| = 1;
    print "squatting\\n";
    sleep 100;
  `;
  const stranger = await lab.spawn("host", ["perl", "-e", squat, LOCK.slice(1)]);
  await stranger.waitFor(/squatting/);
  const running = await lab.spawn("toolbox", ["portshim", "--", "echo", "started"]);
  await running.waitFor(/it was never applied here/);
  const started = process.hrtime.bigint();
  await running.waitFor(/About to run as root/);
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  assert.ok(seconds > 1.5 && seconds < 3, `${seconds} s`);
  const run = await running.exited;
  assert.equal([run.status, run.stdout], [0, "started\n"], run.stderr);
  await stranger.kill("SIGKILL");
});

/** The parent of the one process that ps(1) finds so. */
async function parentOf(...which: string[]): Promise<string> {
  return (await lab.asHost(["ps", ...which, "-o", "ppid="])).stdout.trim();
}

test.run();
