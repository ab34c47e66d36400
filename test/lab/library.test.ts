import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { type Agent, startAgent } from "./agent.js";
import { type Lab, type Running, startLab } from "./lab.js";
import { atTheLock } from "./lock.js";
import { ASKED, NAME } from "./start.js";

const test = suite("the library, in a toolbox", "lab", "nodes");

let lab: Lab;
let agent: Agent | undefined;
let repository: string;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  repository = `/run/host${lab.repository}`;
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
});
test.after.each(async () => {
  await agent?.stop();
  agent = undefined;
});

/** Starts the application on the example framework. */
function app(): Promise<Running> {
  return lab.spawn("toolbox", ["node", `${repository}/test/fixture/app.js`]);
}

/** Runs a program that imports portshim as every package of the workspace does; it prints JSON. */
async function program(source: string): Promise<unknown> {
  const run = await lab.inToolbox(["node", "-e", source], { cwd: repository, timeout: 60_000 });
  assert.equal([run.status, run.stderr], [0, ""]);
  return JSON.parse(run.stdout);
}

/** What portshim's command line says when it fails. */
async function commandLine(): Promise<string> {
  const run = await lab.inToolbox(["portshim", "--quiet", "--start=80", "--", "true"]);
  assert.is(run.status, 77);
  return run.stderr;
}

/** The host's processes that belong to an open prompt. */
async function prompt(): Promise<string> {
  return (await lab.asHost(["ps", "-C", "pkexec,flatpak-spawn", "-o", "pid=,comm="])).stdout;
}

async function gone(): Promise<void> {
  const deadline = Date.now() + 1000;
  while ((await prompt()) !== "") {
    if (Date.now() > deadline) assert.is(await prompt(), "", "the prompt outlived the call by a second");
    await sleep(20);
  }
}

test("a framework's application serves on port 80 after one prompt; started again it asks nobody", async () => {
  await lab.polkit("YES");
  const prompts = (await lab.prompts()).length;
  const first = await app();
  await first.waitFor(/serving on 80/);
  assert.equal(await lab.fetch(80, "/hello"), { status: 200, body: `Hello from ${first.pid}\n` });
  assert.equal([(await lab.prompts()).slice(prompts), await lab.threshold()], [[ASKED], 80]);
  assert.is(
    first.stderr,
    `[web] This server asks for ports 80 and up, but those below 1024 need privileges here (${NAME})
[web] Running as root on the host (you may be asked for your password):
[web]     /usr/bin/pkexec ${ASKED}
[web] Done. Any user can now bind ports 80 and up, until the host reboots. To make it permanent:
[web]     portshim persist --start=80
[web] serving on 80
`,
  );
  await first.kill();
  assert.is((await first.exited).status, 0);

  const calls = await lab.hostCalls();
  const second = await app();
  await second.waitFor(/serving on 80/);
  await second.kill();
  assert.equal([(await second.exited).stderr, await lab.hostCalls()], ["[web] serving on 80\n", calls]);
});

test("already satisfied, and the host is not asked", async () => {
  await lab.setThreshold(80);
  const calls = await lab.hostCalls();
  const source = 'require("portshim").ensurePorts({ start: 80 }).then((done) => console.log(JSON.stringify(done)))';
  assert.is(await program(source), "already");
  assert.is(await lab.hostCalls(), calls);
});

test("polkit says no: the sentence of the command line, and nothing changed", async () => {
  await lab.polkit("NO");
  const failure = (await program(`
    require("portshim").ensurePorts({ start: 80 }).catch(({ code, message, remedy, isRefusal }) =>
      console.log(JSON.stringify({ code, message, remedy, isRefusal })));
  `)) as Record<string, unknown>;
  assert.equal([failure.code, failure.isRefusal, await lab.threshold()], ["refused", true, 1024]);
  // The command line alone says more: of its own exit status, and what ran as root, which a logger would have got.
  const said = await commandLine();
  assert.ok(said.includes(`portshim: ${failure.message}\n${failure.remedy}\nIn a systemd unit, `), said);

  const run = await (await app()).exited;
  assert.is(run.status, 77);
  const lines = `${failure.message}\n${failure.remedy}`.replace(/^/gm, "[web] ");
  assert.ok(run.stderr.endsWith(`\n${lines}\n`), run.stderr);
});

test("twenty calls in one process: one question, and nothing stays behind", async () => {
  await lab.polkit("YES");
  const prompts = (await lab.prompts()).length;
  const outcome = await program(`
    const { getEventListeners } = require("node:events");
    const { ensurePorts } = require("portshim");
    const { signal } = new AbortController();
    // Node itself opens it when a socket ends.
    process.stderr;
    const before = process.getActiveResourcesInfo();
    const calls = Array.from({ length: 20 }, () => ensurePorts({ start: 80, signal }));
    Promise.all(calls).then(async (all) => {
      // libuv closes what was closed at the end of the loop's round.
      for (let round = 0; round < 2; round++) await new Promise(setImmediate);
      const left = getEventListeners(signal, "abort").length;
      console.log(JSON.stringify([all.sort(), left, before, process.getActiveResourcesInfo()]));
    });
  `);
  const [all, listeners, before, after] = outcome as unknown[];
  assert.equal([all, listeners], [[...Array(19).fill("already"), "pkexec"], 0]);
  assert.equal(after, before);
  assert.equal((await lab.prompts()).slice(prompts), [ASKED]);
});

test("aborted while a password prompt is open: it goes, and the next call can ask", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const source = `
    const { ensurePorts } = require("portshim");
    const stop = new AbortController();
    process.once("SIGUSR2", () => stop.abort(new Error("enough")));
    ensurePorts({ start: 80, signal: stop.signal }).catch(async ({ message }) => {
      console.log(message);
      process.once("SIGUSR2", async () => console.log(await ensurePorts({ start: 80 })));
    });
  `;
  // A handler alone does not keep it alive.
  const waiting = `${source}; const alive = setInterval(() => {}, 1000); setTimeout(() => process.exit(1), 60000);`;
  const running = await lab.spawn("toolbox", ["node", "-e", waiting], { cwd: repository });
  await agent.asked();
  assert.is.not(await prompt(), "");
  const started = Date.now();
  await running.kill("SIGUSR2");
  await running.waitFor(/^enough\n/);
  assert.ok(Date.now() - started < 1000, `${Date.now() - started} ms`);
  await gone();
  assert.is(await lab.threshold(), 1024);
  // pkttyagent cannot ask for a second one.
  await lab.polkit("YES");
  await running.kill("SIGUSR2");
  await running.waitFor(/^enough\npkexec\n/);
  await running.kill("SIGKILL");
  assert.is(running.stderr, "");
});

test("a framework that is stopped while the prompt is open", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const running = await app();
  await agent.asked();
  await running.kill("SIGTERM");
  const run = await running.exited;
  assert.is(run.status, 1);
  assert.ok(run.stderr.endsWith("[web] stopped before it could serve\n"), run.stderr);
  await gone();
});

test("out of time: the prompt goes, and it says so", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const [code, message] = (await program(`
    require("portshim").ensurePorts({ start: 80, timeout: 2 }).catch(({ code, message }) =>
      console.log(JSON.stringify([code, message])));
  `)) as string[];
  assert.equal([code, message], ["timed-out", "nobody answered the password prompt within 2 seconds"]);
  await gone();
});

/** Prints what a call rejected with that is aborted between the facts and the lock. */
const ABORTED_BEFORE_LOCK = `
  const stop = new AbortController();
  const logger = (level) => level === "info" && stop.abort("enough");
  require("portshim").ensurePorts({ start: 80, signal: stop.signal, logger }).catch((reason) =>
    console.log(JSON.stringify(reason)));
`;

test("aborted as the lock is taken: nothing is asked, and the lock is free again", async () => {
  await lab.polkit("YES");
  const prompts = (await lab.prompts()).length;
  // A lock that was kept would keep the program from ending.
  assert.is(await program(ABORTED_BEFORE_LOCK), "enough");
  assert.equal([(await lab.prompts()).length, await lab.threshold()], [prompts, 1024]);
});

test("a call that waits for another's prompt can be aborted, with its reason", async () => {
  await lab.polkit("AUTH_ADMIN");
  agent = await startAgent(lab);
  const holder = await lab.spawn("toolbox", ["portshim", "--start=80", "--", "true"]);
  await agent.asked();
  const source = `
    const signal = AbortSignal.timeout(1000);
    require("portshim").ensurePorts({ start: 80, signal }).catch(({ name }) => console.log(JSON.stringify(name)));
  `;
  assert.is(await program(source), "TimeoutError");
  assert.is(await program(ABORTED_BEFORE_LOCK), "enough");
  // The other's prompt stays open.
  assert.is.not(await prompt(), "");
  await holder.kill();
  await holder.exited;
  await gone();
});

test("together with the command line: a refusal holds for all that wait", async () => {
  await lab.polkit("AUTH_ADMIN");
  const call = () =>
    program('require("portshim").ensurePorts({ start: 80 }).catch(({ code }) => console.log(JSON.stringify(code)))');
  const start = () => lab.inToolbox(["portshim", "--start=80", "--", "true"]);
  const prompts = (await lab.prompts()).length;

  agent = await startAgent(lab);
  const refused = start();
  await agent.asked();
  const waiting = call();
  await atTheLock(lab, 3);
  agent.type("wrong");
  assert.equal([(await refused).status, await waiting], [77, "refused-another"]);
  await agent.stop();

  agent = await startAgent(lab);
  const first = call();
  await agent.asked();
  const second = start();
  await atTheLock(lab, 2);
  agent.type("wrong");
  assert.is(await first, "refused");
  const { status, stderr } = await second;
  assert.equal(
    [status, stderr],
    [77, "portshim: permission denied to another portshim, which asked the host just before\n"],
  );
  assert.is((await lab.prompts()).length, prompts + 2);
});

for (const page of ["docs/library.md", "shim/README.md"]) {
  test(`${page}: the code that a framework needs`, async () => {
    await lab.polkit("YES");
    const code = codeOf(page, 'import { ensurePorts } from "portshim";');
    const run = await lab.inToolbox(["node", "--input-type=module", "--eval", code], { cwd: repository });
    assert.equal([run.status, run.stderr, await lab.threshold()], [0, "", 80]);
  });
}

test.run();
