import * as assert from "uvu/assert";
import type { Bridge } from "../shim/lib/bridge.js";
import { askHost, bridgeFailed } from "../shim/lib/host.js";
import { suite } from "./suite.js";

const test = suite("host");

/** A bridge whose host answers this: marked fake, for buses that no test machine has (SELinux, another user's). */
function answering(script: string): Bridge {
  return { name: "flatpak-spawn", path: "/bin/sh", identity: undefined, command: () => ["/bin/sh", "-c", script] };
}

test("what the host has, though stat(1) misses some of it", async () => {
  const script = "echo '4026531840 /proc/self/ns/net'; echo '7 /usr/bin/pkexec'; echo '8 /usr/sbin/sysctl'; exit 1";
  assert.equal(await askHost(answering(script)), {
    networkNamespace: 4026531840,
    programs: ["/usr/bin/pkexec", "/usr/sbin/sysctl"],
  });
});

test("what it was not asked for does not count", async () => {
  const script = "echo '1 /proc/self/ns/net'; echo '2 /tmp/evil'; echo '3 /usr/bin/pkexec; x'; echo '-4 /usr/bin/sudo'";
  assert.equal(await askHost(answering(script)), { networkNamespace: 1, programs: [] });
});

const troubles: [answer: string, sentence: RegExp][] = [
  [
    "Can't find bus: Could not connect: No such file or directory",
    /^there is no session bus here; .* -v \$XDG_RUNTIME_DIR/,
  ],
  ["Can't find bus: Cannot autolaunch D-Bus without X11 $DISPLAY", /^there is no session bus here; /],
  [
    "Can't find bus: Could not connect: Permission denied",
    /^the session bus refuses us; .* --security-opt label=disable/,
  ],
  ["Can't find bus: The connection is closed", /^the session bus is another user's; start as the user it belongs to/],
  ["Portal call failed: no such thing", /^flatpak-spawn answered: Portal call failed: no such thing$/],
  ["", /^flatpak-spawn answered: nothing, with status 1$/],
];
for (const [answer, sentence] of troubles) {
  test(`${answer || "no word"}: ${sentence}`, async () => {
    const host = await askHost(answering(`echo "${answer.replace("$", "\\$")}" >&2; exit 1`));
    assert.ok("problem" in host);
    assert.match((host as { problem: string }).problem, sentence);
  });
}

test("a bridge's own failure is told from its command's", () => {
  const ended = (stderr: string) => bridgeFailed({ status: 1, stdout: "", stderr, timedOut: false });
  assert.ok(ended("Portal call failed: no such program\n"));
  assert.not(ended("sysctl: permission denied on key\n"));
});

test.run();
