import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { type Agent, startAgent } from "./agent.js";
import { type Lab, startLab } from "./lab.js";
import { atTheLock } from "./lock.js";
import { ASKED, NAME } from "./start.js";
import { assertBound, assertRefused, together } from "./together.js";

const test = suite("servers that start together", "lab", "nodes");

const REFUSED = `portshim: permission denied by the host: wrong password, or polkit does not allow it (`;

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

test("twenty, and polkit says yes: one question, one Node, all start", async () => {
  await lab.polkit("YES");
  const before = (await lab.prompts()).length;
  const { starts, nodes } = await (await together(lab, 20)).ended();
  assertBound(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes], [[ASKED], 1]);
});

test("twenty, one password: one prompt, one Node, all start", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(lab, 20);
  await agent.asked();
  await atTheLock(lab, 20);
  agent.type(lab.password);
  const { starts, nodes } = await ended();
  assertBound(starts);
  assert.equal([(await lab.prompts()).slice(before), nodes], [[ASKED], 1]);
});

test("twenty, a wrong password: one prompt, one Node, all say that it was refused", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const before = (await lab.prompts()).length;
  const { ended } = await together(lab, 20);
  await agent.asked();
  await atTheLock(lab, 20);
  agent.type("wrong");
  const { starts, nodes } = await ended();
  assertRefused(starts, REFUSED);
  assert.equal([(await lab.prompts()).slice(before), nodes, await lab.threshold()], [[ASKED], 1, 1024]);
});

test("twenty, and polkit says no at once: one question, all say that it was refused; one that starts afterwards asks again", async () => {
  await lab.polkit("NO");
  const before = (await lab.prompts()).length;
  // The first must not be done before the last has started.
  const { ended, release } = await together(lab, 20, { held: true });
  await atTheLock(lab, 20);
  await release();
  const { starts, nodes } = await ended();
  assertRefused(starts, REFUSED);
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
    const { ended } = await together(lab, 4);
    await agent.asked();
    await atTheLock(lab, 4);
    // pkttyagent cannot ask for a second one.
    await lab.polkit("YES");
    const [launcher, helper] = await asking();
    await lab.asHost(["kill", "-KILL", victim === "portshim" ? launcher : helper]);
    const { starts, nodes } = await ended();
    assert.equal(starts.map(({ status }) => status).sort(), [0, 0, 0, victim === "portshim" ? 137 : 69]);
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
