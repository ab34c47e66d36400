import { machine } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { DROP_IN, dropIn } from "../../shim/lib/sysctl/dropin.js";
import { commandLine } from "../../shim/lib/text.js";
import { suite } from "../suite.js";
import { CONTAINERS_PORTSHIM, hostNetwork } from "./container.js";
import { type Lab, startLab } from "./lab.js";
import { openPty, type Pty } from "./pty.js";
import { BASE, NAME } from "./start.js";

const test = suite("a terminal without any agent", "lab", "nodes");

const BY_HAND = `    sudo sysctl -w ${NAME}=80`;
const STARTED = ["--start=80", "--", "/bin/sh", "-c", "echo started"];
const NO_AGENT = "nobody can be asked for a password, as no polkit agent is running in this session (";

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.polkit("AUTH_ADMIN");
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));

/** Prints what has changed of the terminal: its settings, and the flags of the server's descriptor. */
const CHANGES = "{ stty -a; grep flags /proc/self/fdinfo/0; } | diff /tmp/before -";

/** Runs a command like an interactive shell, which survives a Ctrl-C, and prints what has changed of the terminal. */
const SESSION = `
  trap : INT QUIT
  { stty -a; grep flags /proc/self/fdinfo/0; } >/tmp/before
  "$@"
  echo "status $?, changes: $(${CHANGES})"
`;

const sessionOf = (...argv: string[]) => ["sh", "-c", SESSION, "sh", ...argv];

/** Runs a command in the toolbox, as entered on a terminal. */
const inToolbox = (...argv: string[]) =>
  openPty(lab, commandLine(["toolbox", "run", "--container", lab.toolbox, ...sessionOf(...argv)]));

/** What the terminal shows, without colours. */
function shown({ screen }: Pty): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the prompt's.
  return screen.replace(/\x1b\[[\d;]*m/g, "").replace(/\r+\n/g, "\n");
}

/** How the session's command ended; the terminal is as before. */
async function statusOf(pty: Pty): Promise<number> {
  const [, status] = await pty.shows(/status (\d+), changes: \r\n/);
  await pty.exited;
  return Number(status);
}

/** What belongs to a portshim that asks, in the toolbox and on the host, a line each. */
async function prompt(): Promise<string> {
  const programs = "portshim-\\S+|node|flatpak-spawn|systemd-run|pkexec|run0|pkttyagent";
  const { stdout } = await lab.asHost(["ps", "-e", "-o", "pid=,ppid=,stat=,comm="]);
  const processes = stdout.split("\n").filter((line) => new RegExp(` [^Z ]\\S* +(${programs})$`).test(line));
  const units = (await lab.asUser(["systemctl", "--user", "--plain", "--no-legend", "list-units", "run-*.service"]))
    .stdout;
  return [...processes, ...units.split("\n")].filter((line) => line !== "").join("\n");
}

/** Waits until none of them is left, a second at most. */
async function gone(): Promise<void> {
  const deadline = Date.now() + 1000;
  while ((await prompt()) !== "") {
    if (Date.now() > deadline) assert.is(await prompt(), "", "the prompt outlived portshim by a second");
    await sleep(20);
  }
}

test("a toolbox on a terminal without any agent, the host's network, the user: pkexec, asking on the terminal", async () => {
  const server = `${CHANGES} && ps -o pgid=,tpgid= -p $$ && exec node /run/host${lab.repository}/test/fixture/server.js`;
  const pty = await inToolbox("portshim", "--start=80", "--", "/bin/sh", "-c", server);
  await pty.asked("pkexec");
  pty.type(`${lab.password}\n`);
  const [, pid] = await pty.shows(/serving on 80, pid (\d+)/);
  assert.equal([await lab.fetch(80), await lab.threshold()], [{ status: 200, body: `${pid} /\n` }, 80]);
  const screen = shown(pty);
  const sentence = `Authentication is needed to run \`/usr/sbin/sysctl -w ${NAME}=80' as the super user\n`;
  assert.match(screen, `    /usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80\n==== AUTHENTICATING FOR `);
  assert.match(screen, sentence);
  assert.not.match(screen, lab.password);
  // Nothing of ours between the last word and the server's first, and the server is in the terminal's foreground.
  assert.match(screen, / {4}portshim persist --start=80\n +(\d+) +\1\nserving on 80/);
  pty.type("\x03");
  assert.is(await statusOf(pty), 130);
});

test("a wrong password: 77", async () => {
  const pty = await inToolbox("portshim", ...STARTED);
  await pty.asked("pkexec");
  pty.type("wrong\n");
  assert.equal([await statusOf(pty), await lab.threshold()], [77, 1024]);
  const refusal = `portshim: permission denied by the host: wrong password, or polkit does not allow it (see above)\n`;
  assert.match(
    shown(pty),
    `==== AUTHENTICATION FAILED ====\nError executing command as another user: Not authorized\n`,
  );
  assert.ok(shown(pty).includes(`\n${refusal}`), shown(pty));
  assert.ok(shown(pty).includes(BY_HAND));
  await gone();
});

for (const [name, key, status] of [
  ["Ctrl-C", "\x03", 130],
  ["Ctrl-\\", "\x1c", 131],
] as const) {
  test(`${name} at the prompt: ${status}, and the prompt goes`, async () => {
    const pty = await inToolbox("portshim", ...STARTED);
    await pty.asked("pkexec");
    pty.type(key);
    assert.equal([await statusOf(pty), await lab.threshold()], [status, 1024]);
    assert.match(shown(pty), /\nPassword: (Quit)?\n+(Quit\n)?status /);
    await gone();
  });
}

test("Ctrl-C at the prompt stops what runs portshim as well", async () => {
  const pty = await inToolbox("sh", "-c", `${commandLine(["portshim", ...STARTED])}; echo went on`);
  await pty.asked("pkexec");
  pty.type("\x03");
  assert.is(await statusOf(pty), 130);
  assert.not.match(pty.screen, "went on");
});

test("Ctrl-C at the prompt of a portshim that was started to ignore it: 77", async () => {
  const pty = await inToolbox("sh", "-c", `trap '' INT; ${commandLine(["portshim", ...STARTED])}`);
  await pty.asked("pkexec");
  pty.type("\x03");
  assert.equal([await statusOf(pty), await lab.threshold()], [77, 1024]);
  assert.match(shown(pty), "\nportshim: the password prompt was dismissed\n");
  await gone();
});

test("never answered: 77 after --timeout", async () => {
  const pty = await inToolbox("portshim", "--timeout=2", ...STARTED);
  assert.equal([await statusOf(pty), await lab.threshold()], [77, 1024]);
  // The carriage return takes it to the start of the line.
  assert.match(pty.screen, /Password: \n?\r\nportshim: nobody answered the password prompt within 2 seconds\r\n/);
  assert.ok(shown(pty).includes(BY_HAND));
  await gone();
});

test("SIGTERM while it is open", async () => {
  const pty = await inToolbox("portshim", ...STARTED);
  await pty.asked("pkexec");
  await lab.asHost(["pkill", "-x", `portshim-${machine()}`]);
  assert.is(await statusOf(pty), 143);
  await gone();
});

test("portshim is killed while it is open: the prompt goes too, and the terminal is as it was", async () => {
  const left = `portshim "$@"; until ${CHANGES} >/dev/null; do sleep 0.02; done; exit 9`;
  const pty = await inToolbox("sh", "-c", left, "sh", ...STARTED);
  await pty.asked("pkexec");
  await lab.asHost(["pkill", "-KILL", "-x", `portshim-${machine()}`]);
  assert.is(await statusOf(pty), 9);
  await gone();
});

test("the session bus goes away while it is open", async () => {
  const pty = await inToolbox("portshim", ...STARTED);
  await pty.asked("pkexec");
  await lab.asHost(["pkill", "-KILL", "-x", "flatpak-session"]);
  assert.is(await statusOf(pty), 69);
  assert.match(shown(pty), "portshim: cannot ask the host: ");
  await gone();
  const ping = ["--print-reply", "--dest=org.freedesktop.Flatpak", "/", "org.freedesktop.DBus.Peer.Ping"];
  await lab.asUser(["dbus-send", "--session", ...ping]);
});

for (const [name, script] of [
  ["in the background", 'set -m; portshim "$@" & wait $!'],
  ["with a standard error that nobody sees", 'portshim "$@" 2>/tmp/words; status=$?; cat /tmp/words; exit $status'],
] as const) {
  test(`a toolbox on a terminal, ${name}: it is not asked there, 77`, async () => {
    const pty = await inToolbox("sh", "-c", script, "sh", ...STARTED);
    assert.equal([await statusOf(pty), await lab.threshold()], [77, 1024]);
    assert.ok(shown(pty).includes(NO_AGENT), shown(pty));
    assert.not.match(pty.screen, "AUTHENTICATING");
  });
}

test("a bridge of an unknown kind, which may not pass a terminal on: it is not asked there, 77", async () => {
  const bridge = "/opt/bridge";
  const script = '#!/bin/sh\nexec /usr/libexec/flatpak-xdg-utils/flatpak-spawn --host --watch-bus --directory=/ "$@"\n';
  await lab.writeFile("toolbox", bridge, script, 0o755);
  const pty = await inToolbox("env", `PORTSHIM_BRIDGE=${bridge}`, "portshim", ...STARTED);
  assert.is(await statusOf(pty), 77);
  assert.ok(shown(pty).includes(NO_AGENT), shown(pty));
});

test("a host without systemd-run: it is not asked there, 77", async () => {
  await lab.asHost(["mount", "--bind", "/dev/null", "/usr/bin/systemd-run"]);
  const pty = await inToolbox("portshim", ...STARTED);
  await pty.exited;
  await lab.asHost(["umount", "/usr/bin/systemd-run"]);
  assert.is(await statusOf(pty), 77);
  assert.ok(shown(pty).includes(NO_AGENT), shown(pty));
});

test("the library leaves the terminal alone", async () => {
  const source = `require("/usr/local/lib/node_modules/portshim/lib/library/index.js").ensurePorts({ start: 80 }).catch(({ code }) => {
    console.log(code);
    process.exit(5);
  })`;
  const pty = await inToolbox("node", "-e", source);
  assert.equal([await statusOf(pty), await lab.threshold()], [5, 1024]);
  assert.match(shown(pty), /^refused\nstatus /);
});

test("sudo portshim, in the toolbox", async () => {
  const pty = await inToolbox("sudo", "portshim", ...STARTED);
  await pty.asked("pkexec");
  pty.type(`${lab.password}\n`);
  assert.equal([await statusOf(pty), await lab.threshold()], [0, 80]);
  assert.match(shown(pty), "\nstarted\n");
});

test("a toolbox without any agent and without a terminal, the host's network, the user: pkexec, refused", async () => {
  const run = await lab.inToolbox(["portshim", ...STARTED]);
  assert.equal([run.status, run.stdout, await lab.threshold()], [77, "", 1024]);
  assert.ok(run.stderr.includes(NO_AGENT), run.stderr);
  assert.ok(run.stderr.includes(BY_HAND));
});

test("as a container's pid 1: the right password, and Ctrl-C", async () => {
  const podman = ["podman", "run", "--rm", "--interactive", "--tty", ...hostNetwork(lab), BASE];
  const start = () => openPty(lab, commandLine(sessionOf(...podman, CONTAINERS_PORTSHIM, ...STARTED)));
  const stopped = await start();
  await stopped.asked("pkexec");
  stopped.type("\x03");
  assert.equal([await statusOf(stopped), await lab.threshold()], [130, 1024]);
  await gone();
  const pty = await start();
  await pty.asked("pkexec");
  pty.type(`${lab.password}\n`);
  assert.equal([await statusOf(pty), await lab.threshold()], [0, 80]);
  assert.match(shown(pty), "started\n");
});

test("run0: the right password, a wrong one, and Ctrl-C", async () => {
  const ask = async (keys: string) => {
    const pty = await inToolbox("portshim", "--via=run0", ...STARTED);
    await pty.asked("pkttyagent");
    pty.type(keys);
    return { pty, status: await statusOf(pty) };
  };
  const wrong = await ask("wrong\n");
  assert.equal([wrong.status, await lab.threshold()], [77, 1024]);
  assert.match(shown(wrong.pty), "wrong password, or polkit does not allow it (see above)\n");
  assert.equal([(await ask("\x03")).status, await lab.threshold()], [130, 1024]);
  const right = await ask(`${lab.password}\n`);
  assert.equal([right.status, await lab.threshold()], [0, 80]);
  assert.match(shown(right.pty), "\nstarted\n");
  await gone();
});

test("persist, and --remove", async () => {
  const ask = async (...argv: string[]) => {
    const pty = await inToolbox("portshim", "persist", ...argv);
    await pty.asked("pkexec");
    pty.type(`${lab.password}\n`);
    return [await statusOf(pty), await lab.threshold(), (await lab.asHost(["cat", `/${DROP_IN}`])).stdout];
  };
  const [status, threshold, text] = await ask("--start=80");
  assert.equal([status, threshold], [0, 80]);
  assert.is(text, dropIn("80"));
  assert.equal(await ask("--remove"), [0, 1024, ""]);
  await gone();
});

test("guard --apply, and --remove: the rules get there whole", async () => {
  const ask = async (flag: string) => {
    const pty = await inToolbox("portshim", "guard", flag);
    await pty.asked("pkexec");
    pty.type(`${lab.password}\n`);
    return [await statusOf(pty), (await lab.asHost(["nft", "list", "ruleset"])).stdout];
  };
  const loaded = await ask("--apply");
  const { stdout } = await lab.inToolbox(["portshim", "guard", "--quiet"]);
  await lab.asHost(["nft", "-f", "-"], { input: stdout });
  assert.equal(loaded, [0, (await lab.asHost(["nft", "list", "ruleset"])).stdout]);
  assert.match(stdout, "delete table inet portshim");
  assert.equal(await ask("--remove"), [0, ""]);
  await gone();
});

test("on the host itself pkexec asks by itself: the right password, and Ctrl-C", async () => {
  const path = `PATH=${lab.nodes}/node26/bin:/usr/sbin:/usr/bin`;
  const start = () => openPty(lab, commandLine(sessionOf("env", path, `${lab.repository}/shim/portshim`, ...STARTED)));
  const calls = await lab.hostCalls();
  const stopped = await start();
  await stopped.asked("pkexec");
  stopped.type("\x03");
  await stopped.shows(/status 130/);
  const pty = await start();
  await pty.asked("pkexec");
  pty.type(`${lab.password}\n`);
  assert.equal([await statusOf(pty), await lab.threshold(), await lab.hostCalls()], [0, 80, calls]);
});

test.run();
