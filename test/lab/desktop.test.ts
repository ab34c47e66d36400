import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";
import { withDialog } from "./dialog.js";
import { type Lab, type Running, startLab } from "./lab.js";
import { atTheLock } from "./lock.js";
import { NAME } from "./start.js";
import { assertBound, assertRefused, type Start, together } from "./together.js";

const test = suite("a desktop", "lab", "nodes");

const STARTED = ["--", "sh", "-c", "echo started"];
const DISMISSED = "portshim: the password prompt was dismissed\n";
/** The host's commands, as polkit sees them. */
const SET = `/usr/sbin/sysctl -w ${NAME}=80`;
const FILE = "/etc/sysctl.d/90-portshim.conf";
const WRITE = `/bin/sh -c umask 022; tee ${FILE} | sysctl -p -`;
const REMOVE = `/bin/sh -c rm -f ${FILE} || exit; sysctl -p -`;

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

const dismiss = () => lab.desktop.press("Escape");

test("a toolbox, the host's network, the desktop's dialog answered: pkexec", async () => {
  const { status, stdout } = await (await ask(["--start=80", ...STARTED], password)).exited;
  assert.equal([status, stdout, await lab.threshold()], [0, "started\n", 80]);
  const calls = await lab.hostCalls();
  const again = await lab.inToolbox(["portshim", "--start=80", ...STARTED]);
  assert.equal([again.status, again.stdout, again.stderr, await lab.hostCalls()], [0, "started\n", "", calls]);
});

test("a toolbox, the host's network, the desktop's dialog dismissed: permission denied, and nothing is changed", async () => {
  const { status, stdout, stderr } = await (await ask(["--start=80", ...STARTED], dismiss)).exited;
  assert.equal([status, stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(stderr, DISMISSED);
  assert.match(stderr, `:\n    /usr/bin/pkexec ${SET}\nRun this on the host, then start again:\n`);
  assert.ok(stderr.endsWith("RestartPreventExitStatus=NOPERM keeps a restart from asking again.\n"), stderr);
});

test("a toolbox, the host's network, the desktop's dialog left alone: permission denied after --timeout", async () => {
  const { status, stdout, stderr } = await (await ask(["--start=80", "--timeout=2", ...STARTED], async () => {}))
    .exited;
  assert.equal([status, stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(stderr, "nobody answered the password prompt within 2 seconds\n");
});

for (const [name, answer, check] of [
  [
    "a toolbox, the host's network, twenty servers and the desktop's dialog answered: pkexec, one dialog for all",
    password,
    assertBound,
  ],
  [
    "a toolbox, the host's network, twenty servers and the desktop's dialog dismissed: permission denied for all, after one dialog",
    dismiss,
    (starts) => assertRefused(starts, DISMISSED),
  ],
] satisfies [string, () => Promise<void>, (starts: Start[]) => void][]) {
  test(name, async () => {
    await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
    const before = (await lab.prompts()).length;
    const answerForAll = async () => {
      await atTheLock(lab, 20);
      await answer();
    };
    const { ended } = await withDialog(lab, () => together(lab, 20), answerForAll);
    const { starts, nodes } = await ended();
    await lab.removeFile("toolbox", "/etc/sysctl.d/80-web.conf");
    check(starts);
    assert.equal([(await lab.prompts()).slice(before), nodes], [[SET], 1]);
  });
}

test("a distrobox, the host's network, the user, with flatpak-spawn and the desktop's dialog: pkexec", async () => {
  const argv = ["portshim", "--start=80", "--verbose", ...STARTED];
  const running = await withDialog(lab, () => lab.spawn("distrobox", argv), password);
  const { status, stdout, stderr } = await running.exited;
  assert.equal([status, stdout, await lab.threshold()], [0, "started\n", 80], stderr);
  assert.match(stderr, "place: a distrobox (");
  assert.match(stderr, `/usr/bin/pkexec ${SET}`);
});

/** A text without spaces and line ends, because the dialog breaks lines anywhere. */
const squeezed = (text: string): string => text.replace(/\s+/g, "");

/** The command between polkit's words in a picture of its dialog, squeezed. */
async function commandIn(picture: Buffer): Promise<string> {
  const text = await lab.desktop.read(picture);
  const [, command] = /isneededtorun.(.*).asthesuperuser/.exec(squeezed(text)) ?? [];
  assert.ok(command, text);
  return command;
}

/** A picture of the dialog that opens, which is then dismissed. */
async function pictured(start: () => Promise<Running>): Promise<Buffer> {
  let picture: Buffer = Buffer.alloc(0);
  const running = await withDialog(lab, start, async () => {
    picture = await lab.desktop.screenshot();
    await dismiss();
  });
  await running.exited;
  return picture;
}

for (const [name, argv, command] of [
  ["prompt", ["--start=80", ...STARTED], SET],
  ["persist", ["persist", "--start=80"], WRITE],
  ["remove", ["persist", "--remove"], REMOVE],
] as const) {
  test(`the dialog shows the whole command: portshim ${argv[0]} ${argv[1]}`, async () => {
    if (name === "remove") {
      await lab.polkit("YES");
      const { status, stderr } = await lab.inToolbox(["portshim", "persist", "--start=80"]);
      assert.is(status, 0, stderr);
      await lab.polkit("AUTH_ADMIN");
    }
    const picture = await pictured(() => lab.spawn("toolbox", ["portshim", ...argv]));
    await lab.removeFile("host", FILE);
    // README's is made by: PICTURES=docs node build/lab/desktop.test.js
    if (process.env.PICTURES && name === "prompt") writeFileSync(join(process.env.PICTURES, `${name}.png`), picture);
    assert.is(await commandIn(picture), squeezed(command));
  });
}

test("a command that polkit cuts is recognized in its picture", async () => {
  const command = WRITE.replace("| sysctl", "| /usr/sbin/sysctl -q");
  assert.ok(command.length > 80);
  const [sh, c, ...script] = command.split(" ");
  const picture = await pictured(() => lab.spawn("graphical", ["pkexec", `${sh}`, `${c}`, script.join(" ")]));
  const shown = await commandIn(picture);
  assert.is.not(shown, squeezed(command));
  assert.match(shown, /^\/bin\/sh-cumask022.*\.\.\..*-p-$/);
});

test("README's picture shows the whole command that README shows", async () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, file = ""] = /<img src="(docs\/[\w-]+\.png)"/.exec(readme) ?? [];
  const [, command = ""] = /^ {8}\/usr\/bin\/pkexec (.+)$/m.exec(readme) ?? [];
  const picture = readFileSync(join(ROOT, file));
  assert.ok(picture.length < 40_000);
  assert.equal([await commandIn(picture), command], [squeezed(SET), SET]);
});

test("a toolbox, the host's network, after persist and a reboot: nothing to do, and no Node", async () => {
  const { status, stderr } = await (await ask(["persist", "--start=80"], password)).exited;
  assert.equal([status, await lab.threshold()], [0, 80], stderr);
  await lab.reboot();
  assert.is(await lab.threshold(), 80);
  const calls = await lab.hostCalls();
  const run = await lab.inToolbox(["portshim", ...STARTED], { env: { PATH: "/usr/local/bin:/usr/bin:/bin" } });
  assert.equal([run.status, run.stdout, run.stderr, await lab.hostCalls()], [0, "started\n", "", calls]);
});

test.run();
