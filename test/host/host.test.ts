import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";

import { networkNamespaceOf, type Place } from "../../shim/lib/here/place.js";
import { liveThreshold } from "../../shim/lib/here/threshold.js";
import type { Bridge } from "../../shim/lib/host/bridge.js";
import { askHost, bridgeFailed, type Host, type NoHost } from "../../shim/lib/host/host.js";
import { inPodman, inToolbox } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("host");

const PODMAN = inPodman().place;

/** A bridge whose host answers this: marked fake, for buses that no test machine has (SELinux, another user's). */
function answering(script: string): Bridge {
  return { name: "flatpak-spawn", path: "/bin/sh", identity: undefined, command: () => ["/bin/sh", "-c", script] };
}

test("answers to other questions are ignored", async () => {
  const lines = [
    ...["/tmp/pkexec", "/usr/bin/../../tmp/sudo", "/usr/bin/evil", "/usr/sbin/sysctl; x", "/usr/sbin/sysctl -x"],
    ...["pkexec", "alias sudo='x'", " /usr/bin/sudo", "/usr/bin/sudo ", "/usr/bin//sudo", "/usr/bin/nsenter\t"],
    ...["65536", "-1", "0x50", "80 ", "000080", "8e1", ""],
    ...["7 /proc/self/ns/pid", "-4 /proc/self/ns/net", "1e3 /proc/self/ns/net", "1 /proc/self/ns/net"],
  ];
  assert.equal(
    await askHost(
      answering(`printf '%s\\n' '${lines.map((line) => line.replaceAll("'", "")).join("' '")}'`),
      PODMAN,
      true,
    ),
    {
      networkNamespace: 1,
      programs: {},
    },
  );
});

test("a threshold of 0 is a value, and is asked for only by a thorough question", async () => {
  const there = { networkNamespace: 1, programs: {}, threshold: 0 };
  assert.equal(await askHost(answering("echo 0; echo '1 /proc/self/ns/net'"), PODMAN, true), there);
  const asked = async (thorough: boolean) => {
    let question = "";
    const command = (argv: readonly string[]) => {
      question = argv.join(" ");
      return ["/bin/true"];
    };
    await askHost({ ...answering(""), command }, PODMAN, thorough);
    return question.includes("ip_unprivileged_port_start");
  };
  assert.equal([await asked(true), await asked(false)], [true, false]);
});

test("whether polkit runs", async () => {
  const polkit = async (words: string) => {
    const host = await askHost(answering(`printf '%s\\n' ${words} '1 /proc/self/ns/net'`), PODMAN, true);
    return (host as Host).polkit;
  };
  assert.equal(
    [await polkit("'polkit yes'"), await polkit("'polkit no'"), await polkit("'polkit maybe' 'no' 'polkit no '")],
    [true, false, undefined],
  );
});

/** The real question, asked of this machine. */
const HERE: Bridge = { name: "sh", path: "/bin/sh", identity: undefined, command: (argv) => argv };

test("the shell that has answered becomes one command", async () => {
  const { shell } = (await askHost(HERE, PODMAN, false)) as Host;
  const result = await shell?.exec(["/bin/echo", "net.ipv4.x=80", "-w"], 10_000);
  assert.equal([result?.status, result?.stdout, result?.stderr], [0, "net.ipv4.x=80 -w\n", ""]);
  assert.is(shell?.exec(["/bin/echo"], 10_000), undefined);
});

test("it becomes nothing that a shell could take for more than one plain word each", async () => {
  const { shell } = (await askHost(HERE, PODMAN, false)) as Host;
  for (const word of ["a b", "a\nb", "a;b", "$HOME", "*", "`id`", "'", "", "a&", "~"]) {
    assert.is(shell?.exec(["/bin/echo", word], 10_000), undefined, word);
  }
  await shell?.close();
});

test("it ends if it is not needed", async () => {
  const { shell } = (await askHost(HERE, PODMAN, false)) as Host;
  await shell?.close();
  assert.is(shell?.exec(["/bin/echo"], 10_000), undefined);
});

test("it ends with us", async () => {
  const script = `const { askHost } = require(${JSON.stringify(require.resolve("../../shim/lib/host/host.js"))});
    askHost({ name: "sh", command: (argv) => argv }, ${JSON.stringify(PODMAN)}, false).then(() => console.log("answered"));`;
  const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  assert.is(String(await new Promise((resolve) => parent.stdout.once("data", resolve))), "answered\n");
  const shell = `/proc/${Number(readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8"))}`;
  assert.ok(existsSync(shell));
  parent.kill("SIGKILL");
  for (let tries = 0; existsSync(shell); tries++) {
    assert.ok(tries < 200, "it has been there for 5 s");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
});

test("an endless answer is cut off, and is no answer", async () => {
  const host = await askHost(
    answering("yes /usr/bin/pkexec | head -c 1000000; echo '1 /proc/self/ns/net'"),
    PODMAN,
    true,
  );
  assert.equal(host, { problem: "flatpak-spawn answered: no message, exit status 0" });
});

const NO_FLATPAK = /^the host has no flatpak, .*; install flatpak on the host \(/;
const troubles: [answer: string, sentence: RegExp][] = [
  [
    "Can't find bus: Could not connect: No such file or directory",
    /^there is no session bus here; .* -v \$XDG_RUNTIME_DIR/,
  ],
  ["Can't find bus: Cannot autolaunch D-Bus without X11 $DISPLAY", /^there is no session bus here; /],
  ["Can't find bus: The given address is empty", /^there is no session bus here; /],
  [
    "Can't find bus: Could not connect: Permission denied",
    /^the session bus denies access; .* --security-opt label=disable/,
  ],
  [
    "Can't find bus: The connection is closed",
    /^the session bus is another user's; run portshim as the user who owns the bus/,
  ],
  ["Portal call failed: org.freedesktop.DBus.Error.ServiceUnknown", NO_FLATPAK],
  ["Portal call failed: The name org.freedesktop.Flatpak was not provided by any .service files", NO_FLATPAK],
  // host-spawn, and dbus-broker.
  ["The name org.freedesktop.Flatpak was not provided by any .service files", NO_FLATPAK],
  ["The name is not activatable", NO_FLATPAK],
  ["dial unix /run/user/1000/bus: connect: no such file or directory", /^there is no session bus here; /],
  ["dial unix /run/user/1000/bus: connect: permission denied", /^the session bus denies access; /],
  ['exec: "dbus-launch": executable file not found in $PATH', /^there is no session bus here; /],
  ["dbus: authentication failed", /^the session bus is another user's; /],
  ["read unix @->/run/user/1000/bus: EOF", /^the session bus is another user's; /],
  // The bus and the host are fine.
  [
    "Portal call failed: Failed to start command: Failed to execute child process “/bin/sh” (No such file or directory)",
    /^flatpak-spawn answered: Portal call failed: Failed to start command/,
  ],
  ["/bin/sh: 3: ls: Permission denied", /^flatpak-spawn answered: \/bin\/sh: 3: ls: Permission denied$/],
  ["Portal call failed: no such thing", /^flatpak-spawn answered: Portal call failed: no such thing$/],
  ["", /^flatpak-spawn answered: no message, exit status 1$/],
];
for (const [answer, sentence] of troubles) {
  test(`${answer || "no word"}: ${sentence}`, async () => {
    const host = await askHost(answering(`cat >&2 <<'END'\n${answer}\nEND\nexit 1`), PODMAN, true);
    assert.ok("problem" in host);
    assert.match((host as { problem: string }).problem, sentence);
  });
}

test("the remedy for the bus depends on the place: root's containers have no session", async () => {
  const at = async (place: Place, answer: string) => {
    const host = await askHost(answering(`echo "Can't find bus: ${answer}" >&2; exit 1`), place, false);
    return (host as NoHost).problem.replace(/ \(flatpak-spawn.*/, "");
  };
  const docker: Place = { ...PODMAN, name: "docker", managedBy: "docker" };
  const rootful: Place = { ...PODMAN, name: "rootful podman" };
  const [none, refused] = ["Could not connect: No such file", "Could not connect: Permission denied"];
  for (const place of [docker, rootful]) {
    assert.is(await at(place, none), "there is no session bus here");
    assert.is(await at(place, refused), "the session bus denies access");
  }
  const toolbox = inToolbox().place;
  assert.is(
    await at(toolbox, none),
    "there is no session bus here; start from a login session, which sets DBUS_SESSION_BUS_ADDRESS",
  );
  assert.is(await at(toolbox, refused), "the session bus denies access; run portshim as the user who owns the bus");
});

test("a bridge's own failure is distinguished from its command's", () => {
  const ended = (stderr: string) => bridgeFailed({ status: 1, stdout: "", stderr, timedOut: false });
  assert.ok(ended("Portal call failed: no such program\n"));
  assert.ok(ended("dial unix /run/user/1000/bus: connect: no such file or directory\n"));
  assert.ok(ended("child process did not terminate cleanly\n"));
  assert.not(ended("Error executing command as another user: Not authorized\n"));
  assert.not(ended("sysctl: permission denied on key\n"));
});

/** Asks a host made of this machine's programs, at the given paths; those of `also` exist, but do not run. */
async function askMachine(programs: Record<string, string>, also: string[]): Promise<Host | NoHost> {
  const root = mkdtempSync(join(tmpdir(), "host-"));
  for (const folder of ["usr/lib", "lib64", "proc", "dev"]) mkdirSync(join(root, folder), { recursive: true });
  symlinkSync("usr/lib", join(root, "lib"));
  for (const path of [...Object.keys(programs), ...also]) mkdirSync(join(root, dirname(path)), { recursive: true });
  for (const [path, original] of Object.entries(programs)) cpSync(original, join(root, path), { dereference: true });
  for (const path of also) writeFileSync(join(root, path), "#!/bin/sh\n", { mode: 0o755 });
  const enter = `for folder in usr/lib lib64 proc dev; do mount --rbind "/$folder" "$0/$folder"; done; exec chroot "$0" "$@"`;
  const command = (argv: readonly string[]) => ["/usr/bin/unshare", "--mount", "/bin/sh", "-ec", enter, root, ...argv];
  const host = await askHost({ name: "chroot", path: "/usr/sbin/chroot", identity: undefined, command }, PODMAN, true);
  rmSync(root, { recursive: true });
  return host;
}

const networkNamespace = networkNamespaceOf("self");
const kinds = suite("hosts of all kinds", "root");

kinds("like Debian: the first of two, and none from directories that users can write to", async () => {
  const programs = { "/bin/sh": "/bin/dash", "/bin/ls": "/bin/ls", "/bin/cat": "/bin/cat" };
  const also = ["/usr/bin/pkexec", "/usr/sbin/sysctl", "/usr/bin/sysctl", "/usr/local/bin/sudo"];
  assert.equal(await askMachine(programs, also), {
    networkNamespace,
    programs: { pkexec: "/usr/bin/pkexec", sysctl: "/usr/sbin/sysctl" },
    threshold: liveThreshold(),
    polkit: false,
  });
});

kinds("like NixOS: only /bin/sh is at its usual path, and it is bash", async () => {
  const [wrappers, system] = ["/run/wrappers/bin", "/run/current-system/sw/bin"];
  const programs = { "/bin/sh": "/bin/bash", [`${system}/ls`]: "/bin/ls" };
  const also = [`${wrappers}/pkexec`, `${wrappers}/sudo`, `${system}/pkexec`, `${system}/sysctl`, `${system}/run0`];
  assert.equal(await askMachine(programs, also), {
    networkNamespace,
    programs: {
      pkexec: `${wrappers}/pkexec`,
      run0: `${system}/run0`,
      sudo: `${wrappers}/sudo`,
      sysctl: `${system}/sysctl`,
    },
    polkit: false,
  });
});

kinds("a host without ls is not mistaken for one without a bus", async () => {
  const host = await askMachine({ "/bin/sh": "/bin/dash" }, ["/usr/bin/pkexec"]);
  assert.match((host as NoHost).problem, /^chroot answered: \/bin\/sh: \d+: ls: not found$/);
});

test.run();
kinds.run();
