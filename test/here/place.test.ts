import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { place } from "../../shim/lib/here/place.js";
import { suite } from "../suite.js";

const test = suite("place");

const ROOTLESS = "         0       1000          1\n         1     100000      65536\n";
const ROOTFUL = "         0          0 4294967295\n";
const CONTAINERENV = "/run/.containerenv";
const INITIAL = "pid:[4026531836]";

const OVERLAY = "300 200 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A\n";
const DISK = "20 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n21 20 0:5 / /proc rw - proc proc rw\n";

/** What a real distrobox 1.8 has, among it a toolbox's mark. */
const HOST_EXEC = "/usr/bin/distrobox-host-exec";
const DISTROBOX = { "/run/.toolboxenv": "", [CONTAINERENV]: "", [HOST_EXEC]: "" };
const MOUNTED = `${OVERLAY}301 300 0:44 ${HOST_EXEC} ${HOST_EXEC} ro,relatime - btrfs /dev/vda3 rw\n`;

type Files = Record<string, string>;
const places: [name: string, files: Files, env: NodeJS.ProcessEnv, evidence: string][] = [
  ["flatpak", { "/.flatpak-info": "" }, {}, "/.flatpak-info"],
  ["toolbox", { "/run/.toolboxenv": "", [CONTAINERENV]: "" }, {}, "/run/.toolboxenv"],
  ["distrobox", { ...DISTROBOX, "/proc/self/mountinfo": MOUNTED }, {}, `${HOST_EXEC}, mounted`],
  ["distrobox", DISTROBOX, { CONTAINER_ID: "box" }, `CONTAINER_ID and ${HOST_EXEC}`],
  ["distrobox", DISTROBOX, { DISTROBOX_ENTER_PATH: "/x" }, `DISTROBOX_ENTER_PATH and ${HOST_EXEC}`],
  [
    "distrobox",
    { ...DISTROBOX, "/proc/self/mountinfo": MOUNTED, "/run/systemd/system/x": "" },
    {},
    `${HOST_EXEC}, mounted, and /run/systemd/system`,
  ],
  // With the package distrobox in it.
  ["toolbox", { ...DISTROBOX, "/proc/self/mountinfo": OVERLAY }, {}, "/run/.toolboxenv"],
  ["toolbox", { "/run/.toolboxenv": "", [CONTAINERENV]: "" }, { CONTAINER_ID: "box" }, "/run/.toolboxenv"],
  ["kubernetes", {}, { KUBERNETES_SERVICE_HOST: "10.0.0.1" }, "KUBERNETES_SERVICE_HOST"],
  [
    "kubernetes",
    { "/var/run/secrets/kubernetes.io/serviceaccount/token": "" },
    {},
    "/var/run/secrets/kubernetes.io/serviceaccount",
  ],
  ["docker", { "/.dockerenv": "" }, {}, "/.dockerenv"],
  ["docker", { "/.dockerenv": "", "/proc/self/mountinfo": OVERLAY }, {}, "/.dockerenv"],
  ["docker", { "/.dockerenv": "", "/proc/self/uid_map": ROOTFUL }, {}, "/.dockerenv"],
  ["rootless docker", { "/.dockerenv": "", "/proc/self/uid_map": ROOTLESS }, {}, "/.dockerenv, and a user namespace"],
  [
    "host",
    { "/.dockerenv": "", "/proc/self/mountinfo": DISK, "/proc/self/ns/pid": INITIAL },
    {},
    "the initial PID namespace",
  ],
  [
    "rootless podman",
    { [CONTAINERENV]: "", "/proc/self/uid_map": ROOTLESS },
    { container: "podman" },
    "/run/.containerenv, and a user namespace",
  ],
  ["rootful podman", { [CONTAINERENV]: "", "/proc/self/uid_map": ROOTFUL }, {}, CONTAINERENV],
  ["host", { "/run/systemd/system/x": "" }, {}, "/run/systemd/system"],
  ["host", { "/proc/self/ns/pid": INITIAL }, {}, "the initial PID namespace"],
  ["unknown", { "/run/systemd/system/x": "" }, { container: "lxc" }, "no sign of any other"],
  ["unknown", { "/proc/self/ns/pid": "pid:[4026532001]" }, {}, "no sign of any other"],
  ["unknown", {}, { CONTAINER_ID: "box" }, "no sign of any other"],
];
for (const [name, files, env, evidence] of places) {
  test(`${name} is recognized by ${evidence} (${Object.keys(files)} ${Object.keys(env)})`, () => {
    const root = mkdtempSync(join(tmpdir(), "place-"));
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      if (content.startsWith("pid:")) symlinkSync(content, join(root, file));
      else writeFileSync(join(root, file), content);
    }
    const found = place(env, root);
    rmSync(root, { recursive: true });
    assert.equal([found.name, found.evidence], [name, evidence]);
  });
}

test.run();
