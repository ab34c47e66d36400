import * as assert from "uvu/assert";
import type { PortshimError } from "../../shim/lib/error.js";
import type { Bridge } from "../../shim/lib/host/bridge.js";
import type { Result } from "../../shim/lib/host/child.js";
import { type Elevation, pkexec, run0, sudo } from "../../shim/lib/plan/elevation.js";
import { has, inToolbox } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("elevation");

const BRIDGE = { name: "flatpak-spawn", path: "/bridge", identity: undefined };
const NONE = { name: "none", path: undefined, identity: undefined };

/** Asks for root through `command`, with a bridge or without. */
function askThrough(
  command: Bridge["command"],
  way: Elevation,
  timeout = 10_000,
  bridge: typeof BRIDGE | typeof NONE = BRIDGE,
) {
  const facts = inToolbox({
    bridge: { ...bridge, command },
    host: has({ pkexec: "/usr/bin/pkexec", run0: "/usr/bin/run0", sudo: "/usr/bin/sudo" }),
  });
  const job = { argv: ["/bin/cat"], input: "text", timeout, isDone: () => false };
  return way.run(facts, job).catch(({ code, message }: PortshimError) => ({ code, message }));
}

/** The same with a host that runs `script`: a stand-in, for run0 with the words of systemd 257. */
function ask(script: string, way: Elevation = run0, timeout?: number) {
  return askThrough((argv) => ["/bin/sh", "-c", script, ...argv], way, timeout);
}

const CHATTER = "echo 'Error creating textual authentication agent: Error opening current controlling terminal' >&2; ";
const START = "Failed to start transient service unit:";

test("run0: the command with its input, and its status", async () => {
  const words = { status: 0, stdout: "/usr/bin/run0 --background= /bin/cat text", stderr: "", timedOut: false };
  assert.equal(await ask('printf "%s " "$0" "$@"; exec cat'), words);
  const failed = { status: 255, stdout: "", stderr: "sysctl: permission denied\n", timedOut: false };
  assert.equal(await ask("echo sysctl: permission denied >&2; exit 255"), failed);
});

test("run0: its words about a textual agent are no failure", async () => {
  const ending = (await ask(`${CHATTER} exec cat`)) as { status: number; stdout: string };
  assert.equal([ending.status, ending.stdout], [0, "text"]);
});

for (const [name, script, code, sentence] of [
  [
    "no agent",
    `${CHATTER} echo ${START} Interactive authentication required. >&2; exit 1`,
    "refused",
    /: nobody can be asked for a password, as no polkit agent is running in this session \(.*required\.\)$/,
  ],
  [
    "a wrong password, or a policy's no",
    `${CHATTER} echo ${START} Access denied >&2; exit 1`,
    "refused",
    /: wrong password, or polkit does not allow it \(.*Access denied\)$/,
  ],
  [
    "nobody answers",
    `echo ${START} Connection timed out >&2; exit 1`,
    "refused",
    /: nobody answered the password prompt within systemd's 25 seconds \(.*Connection timed out\)$/,
  ],
  ["a bus that dies", "exit 1", "bridge-failed", /the session bus went away$/],
] as const) {
  test(`run0: ${name}`, async () => {
    const failure = (await ask(script)) as PortshimError;
    assert.is(failure.code, code);
    assert.match(failure.message, sentence);
  });
}

const ended = (code: string, message: string) => ({ code, message });

test("what could not be started is no refusal, although its status is pkexec's for that", async () => {
  // Our launcher says so, which is before a bridge.
  const absent = "portshim: /nonexistent/bridge: No such file or directory";
  const noBridge = ended("bridge-failed", `cannot ask the host: ${absent}`);
  assert.equal(await askThrough(() => ["/nonexistent/bridge"], pkexec), noBridge);
  const noProgram = ended("bridge-failed", "cannot ask the host: spawn /nonexistent/pkexec ENOENT");
  assert.equal(await askThrough(() => ["/nonexistent/pkexec"], pkexec, undefined, NONE), noProgram);
  const dash = await askThrough(() => ["/bin/sh", "-c", "exec /nonexistent/pkexec"], pkexec);
  const bash = await ask("echo '/bin/sh: line 2: /usr/bin/pkexec: Permission denied' >&2; exit 126", pkexec);
  // Then the route says what they said.
  assert.equal(
    [dash, bash].map((result) => (result as Result).status),
    [127, 126],
  );
  const denied = "Error executing command as another user: Not authorized";
  assert.is(((await ask(`echo '${denied}' >&2; exit 127`, pkexec)) as PortshimError).code, "refused");
  assert.is(((await ask("exit 126", pkexec)) as PortshimError).code, "dismissed");
});

test("time is over: nobody has answered, if somebody was asked", async () => {
  const nobody = ended("timed-out", "nobody answered the password prompt within 0.1 seconds");
  assert.equal(await ask("exec sleep 5", pkexec, 100), nobody);
  assert.equal(await ask("exec sleep 5", run0, 100), nobody);
  const mute = ended("bridge-failed", "cannot ask the host: flatpak-spawn did not answer within 0.1 seconds");
  assert.equal(await ask("exec sleep 5", sudo, 100), mute);
});

test("sudo: its refusal, and what it ran", async () => {
  const refused = ended("refused", "permission denied by the host: sudo: a password is required");
  assert.equal(await ask("echo 'sudo: a password is required' >&2; exit 1", sudo), refused);
  assert.is(((await ask('printf "%s " "$0" "$@"', sudo)) as { stdout: string }).stdout, "/usr/bin/sudo -n /bin/cat ");
});

test.run();
