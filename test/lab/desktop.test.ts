import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { withDialog } from "./dialog.js";
import { type Lab, type Running, startLab } from "./lab.js";

const test = suite("a desktop", "lab", "nodes");

const NAME = "net.ipv4.ip_unprivileged_port_start";
const STARTED = ["--", "sh", "-c", "echo started"];

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.installShim({ where: "distrobox" });
  await lab.polkit("AUTH_ADMIN");
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));

/** Starts portshim in the toolbox, and answers the dialog that opens for it. */
function ask(argv: readonly string[], answer: () => Promise<void>): Promise<Running> {
  return withDialog(lab, () => lab.spawn("toolbox", ["portshim", ...argv]), answer);
}

async function password(): Promise<void> {
  await lab.desktop.type(lab.password);
  await lab.desktop.press("Return");
}

test("the dialog answered: the server starts, and the next one asks nobody", async () => {
  const { status, stdout } = await (await ask(["--start=80", ...STARTED], password)).exited;
  assert.equal([status, stdout, await lab.threshold()], [0, "started\n", 80]);
  const calls = await lab.hostCalls();
  const again = await lab.inToolbox(["portshim", "--start=80", ...STARTED]);
  assert.equal([again.status, again.stdout, again.stderr, await lab.hostCalls()], [0, "started\n", "", calls]);
});

test("the dialog dismissed: 77, and nothing is changed", async () => {
  const { status, stdout, stderr } = await (await ask(["--start=80", ...STARTED], () => lab.desktop.press("Escape")))
    .exited;
  assert.equal([status, stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(stderr, "portshim: the password prompt was dismissed\n");
  assert.match(
    stderr,
    `:\n    /usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80\nRun this on the host, then start again:\n`,
  );
  assert.ok(stderr.endsWith("RestartPreventExitStatus=NOPERM keeps it from that.)\n"), stderr);
});

test("the dialog left alone: 77 after --timeout", async () => {
  const { status, stdout, stderr } = await (await ask(["--start=80", "--timeout=2", ...STARTED], async () => {}))
    .exited;
  assert.equal([status, stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(stderr, "nobody answered the host's password prompt within 2 seconds\n");
});

test("a real distrobox is told from a toolbox, and its server starts through the same dialog", async () => {
  const argv = ["portshim", "--start=80", "--verbose", ...STARTED];
  const running = await withDialog(lab, () => lab.spawn("distrobox", argv), password);
  const { status, stdout, stderr } = await running.exited;
  assert.equal([status, stdout, await lab.threshold()], [0, "started\n", 80], stderr);
  assert.match(stderr, "place: a distrobox (");
  assert.match(stderr, `/usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80`);
});

test("persist asks once, and after a real reboot nobody is asked and no Node is started", async () => {
  const { status, stderr } = await (await ask(["persist", "--start=80"], password)).exited;
  assert.equal([status, await lab.threshold()], [0, 80], stderr);
  await lab.reboot();
  assert.is(await lab.threshold(), 80);
  const calls = await lab.hostCalls();
  const run = await lab.inToolbox(["portshim", ...STARTED], { env: { PATH: "/usr/local/bin:/usr/bin:/bin" } });
  assert.equal([run.status, run.stdout, run.stderr, await lab.hostCalls()], [0, "started\n", "", calls]);
});

test.run();
