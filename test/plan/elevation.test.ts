import * as assert from "uvu/assert";
import type { PortshimError } from "../../shim/lib/error.js";
import { run0 } from "../../shim/lib/plan/elevation.js";
import { has, inToolbox } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("elevation");

/** Asks run0 in a toolbox whose host runs `script` instead: a stand-in, with the words of systemd 257. */
function ask(script: string) {
  const bridge = { name: "flatpak-spawn", path: "/bridge", identity: undefined };
  const facts = inToolbox({
    bridge: { ...bridge, command: (argv) => ["/bin/sh", "-c", script, ...argv] },
    host: has({ run0: "/usr/bin/run0" }),
  });
  const job = { argv: ["/bin/cat"], input: "text", timeout: 10_000, isDone: () => false };
  return run0.run(facts, job).catch(({ code, message }: PortshimError) => ({ code, message }));
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

test.run();
