import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { type Agent, startAgent } from "./agent.js";
import { CONTAINERS_PORTSHIM, hostNetwork } from "./container.js";
import { type Lab, type Running, startLab } from "./lab.js";
import { BASE, BY_HAND, NAME, STARTED } from "./start.js";

const test = suite("a real password prompt", "lab", "nodes");

let lab: Lab;
let agent: Agent | undefined;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
  await lab.polkit("AUTH_ADMIN");
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
  agent = await startAgent(lab);
});
test.after.each(async () => {
  await agent?.stop();
});

/** Starts portshim in the toolbox, and waits until the password is asked for. */
async function asking(...argv: string[]): Promise<Running> {
  const running = await lab.spawn("toolbox", ["portshim", ...argv]);
  await agent?.asked();
  return running;
}

/**
 * The processes that belong to a portshim that asks, in the toolbox and on the host, a line each. Without dead ones:
 * systemd's user manager reaps late if it has lost its bus.
 */
async function prompt(): Promise<string> {
  const { stdout } = await lab.asHost(["ps", "-e", "-o", "pid=,ppid=,stat=,comm="]);
  return stdout
    .split("\n")
    .filter((line) => / [^Z ]\S* +(portshim-\S+|node|flatpak-spawn|pkexec)$/.test(line))
    .join("\n");
}

/** Waits until none of them is left, a second at most. */
async function gone(): Promise<void> {
  const deadline = Date.now() + 1000;
  while ((await prompt()) !== "") {
    if (Date.now() > deadline) assert.is(await prompt(), "", "the prompt outlived portshim by a second");
    await sleep(20);
  }
}

test("the right password: the server starts, with portshim's pid", async () => {
  const running = await asking("--", "node", `/run/host${lab.repository}/test/fixture/server.js`);
  agent?.type(lab.password);
  await running.waitFor(/serving on 80/);
  assert.equal(await lab.fetch(80, "/"), { status: 200, body: `${running.pid} /\n` });
  assert.match(
    agent?.screen ?? "",
    `Authentication is needed to run \`/usr/sbin/sysctl -w ${NAME}=80' as the super user`,
  );
  await running.kill();
  await running.exited;
});

test("a wrong password", async () => {
  const running = await asking(...STARTED);
  agent?.type("wrong");
  const run = await running.exited;
  assert.equal([run.status, run.stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(run.stderr, `portshim: permission denied by the host: wrong password, or polkit does not allow it`);
  assert.ok(run.stderr.includes(BY_HAND));
  assert.match(agent?.screen ?? "", "AUTHENTICATION FAILED");
});

test("never answered: after --timeout the prompt is closed", async () => {
  const run = await (await asking("--timeout=3", ...STARTED)).exited;
  assert.equal([run.status, run.stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(run.stderr, "portshim: nobody answered the password prompt within 3 seconds\n");
  assert.ok(run.stderr.includes(BY_HAND));
  await gone();
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} while it is open: portshim ends by it within a second, and so does the prompt`, async () => {
    const running = await asking(...STARTED);
    const started = Date.now();
    await running.kill(signal);
    const run = await running.exited;
    assert.ok(Date.now() - started < 1000, `${Date.now() - started} ms`);
    assert.equal([run.status, run.signal, run.stdout], [null, signal, ""]);
    await gone();
  });
}

test("portshim is killed while it is open: the prompt goes too", async () => {
  const running = await asking(...STARTED);
  await running.kill("SIGKILL");
  await gone();
});

test("portshim is killed, and its Node has capabilities of its own: the prompt goes too", async () => {
  // prctl(2): exec of a program with capabilities resets PR_SET_PDEATHSIG.
  const own = "mkdir /opt/node && cp /usr/local/bin/node /opt/node && setcap cap_net_bind_service=+ep /opt/node/node";
  const made = await lab.inToolbox(["sh", "-c", own], { root: true });
  assert.is(made.status, 0, made.stderr);
  const running = await lab.spawn("toolbox", ["portshim", ...STARTED], {
    env: { PATH: "/opt/node:/usr/local/bin:/usr/bin:/bin" },
  });
  await agent?.asked();
  const node = (await lab.asHost(["pgrep", "-P", `${running.pid}`])).stdout.trim();
  assert.match((await lab.asHost(["cat", `/proc/${node}/status`])).stdout, "CapEff:\t0000000000000400\n");
  await running.kill("SIGKILL");
  await gone();
  await lab.removeFile("toolbox", "/opt/node");
});

test("the helper is killed while it is open: 69, and the prompt goes too", async () => {
  const running = await asking(...STARTED);
  await lab.asHost(["pkill", "-KILL", "-P", `${running.pid}`]);
  const run = await running.exited;
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(run.stderr, "portshim: cannot run Node.js 20 or later, which is needed here: Killed\n");
  await gone();
});

/** Starts portshim as a container's first process, and waits until the password is asked for. */
async function askingAsFirst(...options: string[]): Promise<{ running: Running; pid: string }> {
  const podman = ["podman", "run", "--rm", "--name", "first", ...hostNetwork(lab), ...options];
  const running = await lab.spawn("user", [...podman, CONTAINERS_PORTSHIM, ...STARTED]);
  await agent?.asked();
  const pid = (await lab.asUser(["podman", "inspect", "--format", "{{.State.Pid}}", "first"])).stdout.trim();
  const status = (await lab.asHost(["cat", `/proc/${pid}/status`])).stdout;
  assert.match(status, /^Name:\tportshim-\S+\n[\s\S]*^NSpid:\t\d+\t1$/m);
  return { running, pid };
}

test("SIGTERM while it is open, as a container's pid 1", async () => {
  const { running, pid } = await askingAsFirst(BASE);
  const started = Date.now();
  await lab.asHost(["kill", pid]);
  while ((await lab.asHost(["test", "-e", `/proc/${pid}`])).status === 0) await sleep(20);
  assert.ok(Date.now() - started < 1000, `${Date.now() - started} ms`);
  await gone();
  const run = await running.exited;
  assert.equal([run.status, run.stdout, await lab.threshold()], [143, "", 1024]);
});

test("podman stop while it is open, with an image's STOPSIGNAL SIGWINCH: podman needs no KILL", async () => {
  const file = `FROM ${BASE}\nSTOPSIGNAL SIGWINCH\n`;
  const image = "localhost/winch:1";
  const built = await lab.asUser(["podman", "build", "--isolation=chroot", "--tag", image, "-"], {
    input: file,
    timeout: 60_000,
  });
  assert.is(built.status, 0, built.stderr);
  const { running } = await askingAsFirst(image);
  const stopped = await lab.asUser(["podman", "stop", "--time=10", "first"]);
  assert.is(stopped.status, 0, stopped.stderr);
  const run = await running.exited;
  // After a KILL it would be 137.
  assert.equal([run.status, run.stdout, await lab.threshold()], [128 + constants.signals.SIGWINCH, "", 1024]);
  await gone();
});

test("flatpak-session-helper dies while it is open", async () => {
  const running = await asking(...STARTED);
  await lab.asHost(["pkill", "-KILL", "-x", "flatpak-session"]);
  await lost(running);
  // The bus starts another.
  const ping = ["--print-reply", "--dest=org.freedesktop.Flatpak", "/", "org.freedesktop.DBus.Peer.Ping"];
  await lab.asUser(["dbus-send", "--session", ...ping]);
});

// Nothing can be asked after it.
test("the session bus dies while it is open", async () => {
  const running = await asking(...STARTED);
  await lab.asHost(["pkill", "-KILL", "-u", lab.user, "-x", "dbus-daemon"]);
  await lost(running);
});

/** portshim reports that the host went away, and the prompt is gone. */
async function lost(running: Running): Promise<void> {
  const run = await running.exited;
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(run.stderr, /portshim: cannot ask the host: .*session bus/);
  assert.ok(run.stderr.includes(BY_HAND));
  await gone();
}

test.run();
