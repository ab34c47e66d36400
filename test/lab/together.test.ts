import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { type Agent, startAgent } from "./agent.js";
import { type Lab, startLab } from "./lab.js";
import { atTheLock } from "./lock.js";

const test = suite("servers that start together", "lab", "nodes");

const NAME = "net.ipv4.ip_unprivileged_port_start";
const ASKED = `/usr/sbin/sysctl -w ${NAME}=80`;
const REFUSED = `portshim: the host refused to set ${NAME}: not authorized by policy, or a wrong password (`;
const ANOTHERS = "portshim: permission was denied to another portshim, which asked the host just before\n";

let lab: Lab;
let agent: Agent | undefined;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
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

/**
 * $1 is the folder of the Nodes, $2 where the reports go, $3 how many servers, $4 the program. In front of each Node is a
 * script that notes its start and then, while there is a file `held`, waits.
 */
const TOGETHER = `
  for version in 20 26; do
    mkdir "$2/node$version"
    cat >"$2/node$version/node" <<END
#!/bin/sh
echo $version >>"$2/nodes"
while [ -e "$2/held" ]; do sleep 0.01; done
exec "$1/node$version/bin/node" "\\$@"
END
    chmod +x "$2/node$version/node"
  done
  i=0
  while [ $i -lt $3 ]; do
    case $((i % 2)) in 0) version=20 ;; *) version=26 ;; esac
    (
      PATH=$2/node$version:$PATH portshim -- perl -e "$4" $((80 + i)) >"$2/$i.out" 2>"$2/$i.err"
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

interface Together {
  /** How each start ended, in the order of their ports. */
  readonly starts: Start[];
  /** How many Nodes were started. */
  readonly nodes: number;
}

let rounds = 0;

/**
 * Starts servers in the toolbox, half with the oldest Node and half with the newest; each takes a port, from 80 up.
 * With `held` their Nodes wait until release().
 */
async function together(
  count: number,
  { held = false } = {},
): Promise<{ ended: Promise<Together>; release(): Promise<void> }> {
  const reports = `/run/user/${lab.uid}/portshim-lab/together.${++rounds}`;
  await lab.asUser(["mkdir", reports]);
  if (held) await lab.asUser(["touch", `${reports}/held`]);
  const nodes = `/run/host${lab.repository}/node_modules`;
  const running = await lab.spawn("toolbox", ["sh", "-c", TOGETHER, "sh", nodes, reports, `${count}`, BIND]);
  const report = (name: string) => readFileSync(`${lab.root}${reports}/${name}`, "utf8");
  const ended = running.exited.then(() => ({
    starts: Array.from({ length: count }, (_, index) => ({
      status: Number(report(`${index}.status`)),
      stdout: report(`${index}.out`),
      stderr: report(`${index}.err`),
    })),
    nodes: report("nodes").split("\n").length - 1,
  }));
  return {
    ended,
    release: async () => {
      await lab.asUser(["rm", `${reports}/held`]);
    },
  };
}

/** Asserts that each start took its port. */
function assertBound(starts: readonly Start[]): void {
  starts.forEach((start, index) => {
    assert.equal([start.status, start.stdout], [0, `bound ${80 + index}\n`], start.stderr);
  });
}

/** Asserts that nobody got a port: one asked and was refused, and the others say so. */
function assertRefused(starts: readonly Start[]): void {
  const [asker, ...more] = starts.filter(({ stderr }) => stderr !== ANOTHERS);
  assert.is(more.length, 0, more[0]?.stderr);
  assert.match(asker?.stderr ?? "", REFUSED);
  for (const start of starts) assert.equal([start.status, start.stdout], [77, ""], start.stderr);
}

test("twenty, and polkit says yes: one question, one Node, all start", async () => {
  await lab.polkit("YES");
  const before = (await lab.prompts()).length;
  const { starts, nodes } = await (await together(20)).ended;
  assertBound(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes], [[ASKED], 1]);
});

test("twenty, one password: one prompt, one Node, all start", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(20);
  await agent.asked();
  await atTheLock(lab, 20);
  agent.type(lab.password);
  const { starts, nodes } = await ended;
  assertBound(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes], [[ASKED], 1]);
  // The others found nothing to do, and say nothing.
  const [asker, ...more] = starts.filter(({ stderr }) => stderr !== "");
  assert.is(more.length, 0, more[0]?.stderr);
  assert.match(asker?.stderr ?? "", "About to run as root on the host");
});

test("twenty, a wrong password: one prompt, one Node, all say that it was refused", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(20);
  await agent.asked();
  await atTheLock(lab, 20);
  agent.type("wrong");
  const { starts, nodes } = await ended;
  assertRefused(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes, await lab.threshold()], [[ASKED], 1, 1024]);
});

test("twenty, and polkit says no at once: one question, all say that it was refused; who starts then asks again", async () => {
  await lab.polkit("NO");
  const before = (await lab.prompts()).length;
  // The first must not be done before the last has started.
  const { ended, release } = await together(20, { held: true });
  await atTheLock(lab, 20);
  await release();
  const { starts, nodes } = await ended;
  assertRefused(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes, await lab.threshold()], [[ASKED], 1, 1024]);

  const later = await lab.inToolbox(["portshim", "--", "true"]);
  assert.is(later.status, 77);
  assert.match(later.stderr, REFUSED);
  assert.equal((await lab.prompts()).slice(before), [ASKED, ASKED]);
});

for (const victim of ["portshim", "its helper"] as const) {
  test(`${victim} is killed while it has the prompt open: the next one asks`, async () => {
    await lab.polkit("AUTH_ADMIN");
    agent = await startAgent(lab);
    const before = (await lab.prompts()).length;
    const { ended } = await together(4);
    await agent.asked();
    await atTheLock(lab, 4);
    // pkttyagent cannot ask for a second one.
    await lab.polkit("YES");
    const [launcher, helper] = await asking();
    await lab.asHost(["kill", "-KILL", victim === "portshim" ? launcher : helper]);
    const { starts, nodes } = await ended;
    assert.equal(starts.map(({ status }) => status).sort(), [0, 0, 0, victim === "portshim" ? 137 : 70]);
    assert.equal([(await lab.prompts()).slice(before), nodes], [[ASKED, ASKED], 2]);
  });
}

test("portshim is stopped while it has the prompt open: the next one waits for its --timeout and two seconds, and asks", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const stopped = await lab.spawn("toolbox", ["portshim", "--", "true"]);
  await agent.asked();
  const [launcher, helper] = await asking();
  await lab.asHost(["kill", "-STOP", launcher, helper]);
  // pkttyagent cannot ask for a second one.
  await lab.polkit("YES");
  const started = Date.now();
  const next = lab.inToolbox(["portshim", "--timeout=1", "--", "echo", "started"], { timeout: 20_000 });
  await atTheLock(lab, 2);
  const run = await next;
  assert.ok(Date.now() - started >= 3000, `${Date.now() - started} ms`);
  await lab.asHost(["kill", "-KILL", launcher, helper]);
  await stopped.exited;
  assert.equal([run.status, run.stdout], [0, "started\n"], run.stderr);
  assert.equal((await lab.prompts()).slice(before), [ASKED, ASKED]);
});

/** The process ids of the portshim, and of its helper, that has the one prompt open. */
async function asking(): Promise<[launcher: string, helper: string]> {
  const parentOf = async (...which: string[]) => (await lab.asHost(["ps", ...which, "-o", "ppid="])).stdout.trim();
  const helper = await parentOf("-C", "flatpak-spawn");
  return [await parentOf("-p", helper), helper];
}

test.run();
