import * as assert from "uvu/assert";
import type { Place } from "../../shim/lib/here/place.js";
import { findBridge } from "../../shim/lib/host/bridge.js";
import { suite } from "../suite.js";

const test = suite("bridge");

const TOOLBOX: Place = {
  name: "toolbox",
  what: "a toolbox",
  evidence: "",
  isHost: "no",
  sharesNetwork: true,
  byUsersPodman: true,
  managedBy: "host",
};
const FEDORA = "/usr/bin/flatpak-spawn";
const DEBIAN = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
const PATH = "PATH=/run/wrappers/bin:/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const EMPTY = ["/usr/bin/env", "-i", PATH];
const FLATPAK = ["--host", "--watch-bus", "--directory=/", "--clear-env", `--env=${PATH}`];

const bridges: [path: string, options: string[]][] = [
  [FEDORA, FLATPAK],
  [DEBIAN, FLATPAK],
  ["/usr/bin/host-spawn", ["--no-pty", ...EMPTY]],
];
for (const [path, options] of bridges) {
  test(`${path} runs the host's command with nothing but PATH in its environment`, () => {
    const bridge = findBridge(TOOLBOX, {}, (candidate) => candidate === path);
    assert.equal(bridge?.command(["/usr/bin/true", "x"]), [path, ...options, "/usr/bin/true", "x"]);
  });
}

test("it is found at its usual paths, else in PATH's absolute directories", () => {
  const find = (PATH: string, ...there: string[]) =>
    findBridge(TOOLBOX, { PATH }, (candidate) => there.includes(candidate))?.path;
  const mine = "/home/me/bin/host-spawn";
  assert.is(find("/usr/bin:/home/me/bin", mine), mine);
  assert.is(find("/home/me/bin", mine, "/usr/bin/host-spawn"), "/usr/bin/host-spawn");
  assert.is(find("/home/me/bin", mine, DEBIAN), DEBIAN);
  assert.is(find(".::bin", "host-spawn", "./host-spawn", "bin/host-spawn", "/host-spawn"), undefined);
});

test("distrobox-host-exec, which can download and install a program, is never called", () => {
  const find = (candidate: string) => candidate.endsWith("/distrobox-host-exec");
  assert.is(findBridge({ ...TOOLBOX, name: "distrobox" }, { PATH: "/usr/bin" }, find), undefined);
});

test("if all are installed, flatpak-spawn on PATH is used", () => {
  assert.is(findBridge(TOOLBOX, {}, () => true)?.path, FEDORA);
});

test("none installed", () => {
  assert.is(
    findBridge(TOOLBOX, {}, () => false),
    undefined,
  );
});

test("a place that may be a host: a bridge if there is one, else none is needed", () => {
  const unknown: Place = { ...TOOLBOX, name: "unknown", isHost: "maybe" };
  assert.is(findBridge(unknown, {}, () => true)?.path, FEDORA);
  assert.is(findBridge(unknown, {}, () => false)?.name, "none");
});

test("on the host itself commands run without a bridge", () => {
  const bridge = findBridge({ ...TOOLBOX, name: "host", isHost: "yes" }, {}, () => false);
  assert.equal(bridge?.command(["/usr/bin/true"]), ["/usr/bin/true"]);
});

test("PORTSHIM_BRIDGE overrides, as the bridge of that name or with the command alone", () => {
  const through = (path: string) => findBridge(TOOLBOX, { PORTSHIM_BRIDGE: path }, () => true)?.command(["/bin/x"]);
  assert.equal(through("/opt/bin/flatpak-spawn"), ["/opt/bin/flatpak-spawn", ...FLATPAK, "/bin/x"]);
  assert.equal(through("/opt/bin/my-bridge"), ["/opt/bin/my-bridge", ...EMPTY, "/bin/x"]);
});

test("a PORTSHIM_BRIDGE that is not a program's path is rejected", () => {
  for (const path of ["flatpak-spawn", "/nonexistent"]) {
    assert.throws(
      () => findBridge(TOOLBOX, { PORTSHIM_BRIDGE: path }),
      (error: Error) => error.message === `PORTSHIM_BRIDGE must be a program's path, not "${path}"`,
    );
  }
});

test("nor is one that a message could not show as it is; and PATH is not followed there", () => {
  const colour = "/opt/\u001b[31m";
  assert.throws(
    () => findBridge(TOOLBOX, { PORTSHIM_BRIDGE: `${colour}/x` }, () => true),
    /^PORTSHIM_BRIDGE must be a program's path, not "\/opt\/ \[31m\/x"$/,
  );
  const seen: string[] = [];
  findBridge(TOOLBOX, { PATH: `${colour}:/opt/bin` }, (path) => !seen.push(path));
  assert.ok(seen.includes("/opt/bin/flatpak-spawn"));
  assert.not.ok(seen.some((path) => path.includes(colour)));
});

test("sudo in a container: the bridge runs as the user who called sudo, with that user's bus", () => {
  // It needs uid 0: nobody called sudo otherwise.
  const bridge = findBridge(TOOLBOX, { SUDO_UID: "1000", SUDO_GID: "1000" }, () => true);
  const identity = {
    uid: 1000,
    gid: 1000,
    env: { XDG_RUNTIME_DIR: "/run/user/1000", DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus" },
  };
  assert.equal(bridge?.identity, process.getuid?.() === 0 ? identity : undefined);
  for (const SUDO_UID of ["0", "-1", "1000 ", "../1", ""]) {
    assert.is(findBridge(TOOLBOX, { SUDO_UID, SUDO_GID: "1000" }, () => true)?.identity, undefined);
  }
});

test("a container with its own systemd: the bridge uses the host's session bus", () => {
  const place = { ...TOOLBOX, hostSessions: "/run/host/run/user" };
  const runtime = `/run/host/run/user/${process.getuid?.()}`;
  const env = { XDG_RUNTIME_DIR: runtime, DBUS_SESSION_BUS_ADDRESS: `unix:path=${runtime}/bus` };
  assert.equal(findBridge(place, {}, () => true)?.identity, { env });
  assert.is(findBridge(TOOLBOX, {}, () => true)?.identity, undefined);
});

test.run();
