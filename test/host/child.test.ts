import { ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { run, start } from "../../shim/lib/host/child.js";
import { PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("child");
const sh = (script: string, timeout = 10_000, signal?: AbortSignal) =>
  run(["/bin/sh", "-c", script], { timeout, signal });

test("status and both outputs", async () => {
  const { status, stdout, stderr, timedOut } = await sh("echo out; echo err >&2; exit 7");
  assert.equal({ status, stdout, stderr, timedOut }, { status: 7, stdout: "out\n", stderr: "err\n", timedOut: false });
});

test("no such program: 127, and the system's message", async () => {
  const { status, stderr, notStarted } = await run(["/nonexistent/program"], { timeout: 1000 });
  assert.equal([status, notStarted], [127, true]);
  assert.match(stderr, /ENOENT/);
  assert.is((await sh("exit 127")).notStarted, undefined);
});

test("a long answer is kept in time, as nft's can be", async () => {
  const most = 64 * 1024 * 1024;
  const argv = ["/bin/sh", "-c", "head -c 50000000 /dev/zero"];
  const { status, stdout, timedOut } = await run(argv, { timeout: 20_000, most });
  assert.equal([status, stdout.length, timedOut], [0, 50_000_000, false]);
});

test("ended by a signal: 128+N", async () => {
  assert.is((await sh("kill -HUP $$")).status, 129);
});

test("runs from /, with no stdin, and with little of our environment", async () => {
  process.env.PORTSHIM_SECRET = "x";
  const { stdout } = await sh('pwd; cat; echo "$PORTSHIM_SECRET"');
  delete process.env.PORTSHIM_SECRET;
  assert.is(stdout, "/\n\n");
});

test("its input arrives complete, and can be left unread", async () => {
  const input = "one line\nand another\n";
  const read = await run(["/bin/cat"], { timeout: 10_000, input });
  assert.equal([read.status, read.stdout], [0, input]);
  const unread = await run(["/bin/true"], { timeout: 10_000, input });
  assert.equal([unread.status, unread.stderr], [0, ""]);
  assert.is((await run(["/nonexistent/program"], { timeout: 1000, input })).status, 127);
});

test("timed out: it is stopped, and the result says so", async () => {
  const { status, timedOut } = await sh("exec sleep 30", 100);
  assert.ok(timedOut);
  assert.is(status, 143);
});

test("one that ignores TERM is killed", async () => {
  const { status } = await sh('trap "" TERM; while :; do sleep 0.1; done', 100);
  assert.is(status, 137);
});

test("one whose end is not seen is given up", async () => {
  // A stand-in for a process that the kernel keeps, and for a lost SIGCHLD: no signal reaches it.
  const { kill } = ChildProcess.prototype;
  const pids: (number | undefined)[] = [];
  ChildProcess.prototype.kill = function () {
    pids.push(this.pid);
    return true;
  };
  try {
    const { status, stdout, timedOut } = await sh("echo said; exec sleep 30", 100);
    assert.equal([status, stdout, timedOut, pids.length], [137, "said\n", true, 2]);
  } finally {
    ChildProcess.prototype.kill = kill;
    process.kill(pids[0] as number, "SIGKILL");
  }
});

test("one that answers is told what to do", async () => {
  const script = 'echo first; echo ready; read -r word; echo "second $word"; echo err >&2; exit 7';
  const program = start(["/bin/sh", "-c", script], { timeout: 10_000 });
  assert.is(await program.says(/^ready$/m), "first\nready\n");
  assert.not(program.isOver);
  program.proceed("go\n", 10_000);
  const { status, stdout, stderr } = await program.ended;
  assert.equal([status, stdout, stderr, program.isOver], [7, "second go\n", "err\n", true]);
});

test("it waits for a word longer than it had for its answer, and no longer than it gets then", async () => {
  const program = start(["/bin/sh", "-c", "echo ready; read -r word; exec sleep 30"], { timeout: 500 });
  await program.says(/ready/);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.not(program.isOver);
  program.proceed("go\n", 100);
  const { status, timedOut } = await program.ended;
  assert.equal([status, timedOut], [143, true]);
});

test("one that does not answer is over with its time, and one that cannot be started at once", async () => {
  for (const [argv, status] of [
    [["/bin/sh", "-c", "echo other; exec sleep 30"], 143],
    [["/nonexistent/program"], 127],
  ] as const) {
    const program = start(argv, { timeout: 500 });
    assert.not.match(await program.says(/ready/), /ready/);
    assert.is((await program.ended).status, status);
    program.proceed("go\n", 10_000);
  }
});

test("a grandchild that holds the output open is not waited for", async () => {
  const { status, stdout } = await sh("sleep 5 & echo $!");
  const grandchild = Number(stdout);
  assert.is(status, 0);
  // Throws unless the grandchild still runs: run() did not wait for it.
  process.kill(grandchild, "SIGKILL");
});

test("aborted before and while it runs", async () => {
  for (const delay of [0, 100]) {
    const stop = new AbortController();
    if (delay === 0) stop.abort();
    else setTimeout(() => stop.abort(), delay);
    const { status, timedOut } = await sh("exec sleep 30", 20_000, stop.signal);
    assert.is(status, 143);
    assert.not(timedOut);
  }
});

test("tied to us, it dies when we are killed", async () => {
  const library = JSON.stringify(require.resolve("../../shim/lib/host/child.js"));
  const directory = mkdtempSync(join(tmpdir(), "child-"));
  const file = join(directory, "pid");
  const command = JSON.stringify(["/bin/sh", "-c", `echo $$ > ${file}; exec sleep 30`]);
  const script = `require(${library}).run(${command}, { timeout: 20000, dieWithUs: true })`;
  const parent = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
  const pid = await eventually(() => Number(readFileSync(file, "utf8")) || undefined);
  parent.kill("SIGKILL");
  await eventually(() => (existsSync(`/proc/${pid}`) ? undefined : true));
  rmSync(directory, { recursive: true });
});

test("tied to a process that has just ended, it does not start", () => {
  const command = ["--with-parent", "1", "/bin/echo", "started"];
  const { status, stdout } = spawnSync(PORTSHIM, command, { encoding: "utf8" });
  assert.equal([status, stdout], [70, ""]);
});

test("only the start of an endless answer is kept", async () => {
  const { stdout } = await sh("head -c 1000000 /dev/zero | tr '\\0' x");
  assert.is(stdout.length, 64 * 1024);
});

async function eventually<T>(look: () => T | undefined): Promise<T> {
  for (let tries = 200; tries > 0; tries--) {
    try {
      const seen = look();
      if (seen !== undefined) return seen;
    } catch {}
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("waited 5 s in vain");
}

test("without a free descriptor: 127, and mayBind() says no", () => {
  const lib = (name: string) => JSON.stringify(join(ROOT, "shim", "lib", name));
  const script = `
    const { run } = require(${lib("host/child.js")});
    const { mayBind } = require(${lib("here/bind.js")});
    try { for (;;) require("node:fs").openSync("/dev/null"); } catch {}
    mayBind(8080).then(async (may) => console.log(may, (await run(["/bin/true"], { timeout: 1000 })).status));`;
  const limited = spawnSync("/bin/sh", ["-c", 'ulimit -n 64; exec "$@"', "sh", process.execPath, "-e", script], {
    encoding: "utf8",
  });
  assert.equal([limited.stdout, limited.stderr], ["false 127\n", ""]);
});

test.run();
