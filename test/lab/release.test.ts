import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { VERSION } from "../../shim/lib/cli/version.js";
import { ROOT } from "../need.js";
import { copyCheckout, PARTS, release, removeCopy } from "../release.js";
import { suite } from "../suite.js";
import { type Lab, type RunOptions, startLab } from "./lab.js";
import { ASKED, askedDuring, NAME } from "./start.js";

const test = suite("a release, installed", "lab", "nodes", "qemu", "packers", "tools");

/** Where the lab's host has the release. */
const DIST = "/srv/dist";

const page = readFileSync(join(ROOT, "docs", "releasing.md"), "utf8");

/** The command of docs/releasing.md that starts with this, as the lab's root runs it. */
function documented(start: string): string {
  const line = page.split("\n").find((line) => line.startsWith(`    ${start}`)) ?? "";
  assert.not.equal(line, "", start);
  return line
    .trim()
    .replace(/^sudo /, "")
    .replaceAll("VERSION", VERSION);
}

let lab: Lab;
let copy: string;

test.before(async () => {
  copy = copyCheckout("lab");
  const [booted, dist] = await Promise.all([startLab(), release(copy)]);
  lab = booted;
  for (const name of [PARTS.amd64, PARTS.oci, PARTS.deb, PARTS.rpm]) {
    await lab.writeFile("host", `${DIST}/${name}`, readFileSync(join(dist, name)));
  }
  await must("host", ["sh", "-c", `ln -s ${lab.nodes}/node26/bin/node /usr/local/bin/node && chmod -R a+rX ${DIST}`]);
  await lab.polkit("YES");
});
test.after(async () => {
  await lab.stop();
  removeCopy(copy);
});
test.before.each(() => lab.setThreshold(1024));

async function must(who: "host" | "user", argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await (who === "host" ? lab.asHost : lab.asUser)(argv, options);
  assert.is(status, 0, `${argv.join(" ")}: ${stderr}`);
  return stdout;
}

/** Waits, for ten seconds at most, for what a server on this port answers. */
async function answer(port: number): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return (await lab.fetch(port, "/hostname")).body;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
}

const SERVER = 'require("http").createServer((_, a) => a.end("served")).listen(80, () => console.log("listening"))';

/** Asserts that the user's server gets port 80, after one question to polkit. */
async function assertServes(portshim: string): Promise<void> {
  const asked = await askedDuring(lab, async () => {
    const server = await lab.spawn("user", [portshim, "--", "node", "-e", SERVER]);
    await server.waitFor(/listening/);
    assert.is(await answer(80), "served");
    await server.kill();
    await server.exited;
  });
  assert.equal([asked, await lab.threshold()], [[ASKED], 80]);
}

/** What of portshim is on the host's disk, below /usr and /var/lib/dpkg. */
const traces = () =>
  must("host", ["sh", "-c", "find /usr /var/lib/dpkg/info -name '*portshim*' ! -path '*portshim-lab*' | sort"]);

test("the tarball, unpacked into /usr/local: an unsatisfied start serves port 80", async () => {
  await must("host", ["sh", "-ec", `cd ${DIST} && ${documented("sudo tar")}`]);
  await assertServes("/usr/local/bin/portshim");
  assert.is(await must("user", ["portshim", "--version"]), `portshim ${VERSION}\n`);
  await must("host", [
    "sh",
    "-c",
    "rm -r /usr/local/lib/portshim; find /usr/local -name '*portshim*' ! -path '*portshim-lab*' -prune -exec rm -r {} +",
  ]);
});

// Without a network, and so without the Node that both recommend. dnf is Debian's: no test machine is a Fedora.
for (const [part, command, remove] of [
  [PARTS.deb, documented("sudo apt install"), "apt-get --yes remove portshim"],
  [PARTS.rpm, documented("sudo dnf install"), "dnf --assumeyes remove portshim"],
] as const) {
  test(`${part} installs without a package of Node, serves port 80, and leaves nothing when it is removed`, async () => {
    assert.is(await traces(), "");
    // apt asks only if there is more to install, dnf always.
    await must("host", ["sh", "-c", command], { cwd: DIST, input: "y\n" });
    if (part === PARTS.deb) {
      const missing = (await must("host", ["dpkg", "--verify", "portshim"])).split("\n").filter(Boolean);
      // The lab's host is built without manual pages and documentation, as containers' images are.
      for (const line of missing) assert.match(line, /^missing +\/usr\/share\/(man|doc)\//);
    }
    await assertServes("/usr/bin/portshim");
    await must("host", ["sh", "-c", remove]);
    assert.is(await traces(), "");
  });
}

const SCRATCH = `FROM scratch\nCOPY busybox /busybox\nCOPY hostname /etc/hostname\n`;

for (const [what, lines, portshim] of [
  ["the OCI archive, loaded and copied", `COPY --from=localhost/portshim:${VERSION} / /\n`, "portshim"],
  ["the tarball, added", `ADD ${PARTS.amd64} /\n`, `/portshim-${VERSION}-linux-amd64/bin/portshim`],
] as const) {
  test(`${what}: in an empty image an ordinary user's server has port 80`, async () => {
    const folder = `/srv/${portshim.length}`;
    const argv = JSON.stringify([portshim, "--", "/busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]);
    await lab.writeFile("host", `${folder}/Containerfile`, `${SCRATCH}${lines}USER 1000\nENTRYPOINT ${argv}\n`);
    // The lab's image has it for containers only.
    await lab.writeFile("host", `${folder}/busybox`, readFileSync("/bin/busybox"), 0o755);
    await lab.writeFile("host", `${folder}/hostname`, "empty\n");
    await must("host", ["cp", `${DIST}/${PARTS.amd64}`, folder]);
    const loaded = await must("user", ["sh", "-ec", `cd ${DIST} && ${documented("podman load")}`]);
    assert.is(loaded, `Loaded image: localhost/portshim:${VERSION}\n`);
    await must("user", ["podman", "build", "--isolation=chroot", "--quiet", "--tag=localhost/empty:1", folder], {
      timeout: 60_000,
    });
    const options = [
      "--rm",
      "--detach",
      "--name=empty",
      "--hostname=empty",
      `--sysctl=${NAME}=80`,
      "--publish=8080:80",
    ];
    await must("user", ["podman", "run", ...options, "localhost/empty:1"]);
    assert.is(await answer(8080), "empty\n");
    await must("user", ["podman", "rm", "--force", "--time=0", "empty"]);
  });
}

test("skopeo brings both architectures to a registry, as they are", async () => {
  await lab.writeFile(
    "host",
    "/etc/containers/registries.conf.d/plain.conf",
    '[[registry]]\nlocation = "localhost:5000"\ninsecure = true\n',
  );
  // Without accounts, which Debian's has.
  await lab.writeFile(
    "host",
    "/etc/docker/registry/config.yml",
    "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/docker-registry}}\nhttp: {addr: localhost:5000}\n",
  );
  await must("host", ["systemctl", "start", "docker-registry"]);
  const command = documented("skopeo copy").replace("REGISTRY", "localhost:5000").replace("dist/", "./");
  await must("host", ["sh", "-ec", command], { cwd: DIST });
  const there = await must("host", ["skopeo", "inspect", "--raw", `docker://localhost:5000/portshim:${VERSION}`]);
  const index = JSON.parse(await must("host", ["tar", "-xOf", `${DIST}/${PARTS.oci}`, "index.json"]));
  assert.is(`sha256:${createHash("sha256").update(there).digest("hex")}`, index.manifests[0].digest);
  for (const architecture of ["amd64", "arm64"]) {
    const pull = ["podman", "pull", "--quiet", `--arch=${architecture}`, `localhost:5000/portshim:${VERSION}`];
    await must("host", pull, { timeout: 60_000 });
  }
});

test("podman picks the image's architecture, and the labels are there", async () => {
  for (const architecture of ["amd64", "arm64"]) {
    await must("user", ["podman", "pull", "--quiet", `--arch=${architecture}`, `oci-archive:${DIST}/${PARTS.oci}`]);
    const format =
      '{{.Architecture}} {{index .Labels "org.opencontainers.image.version"}} {{index .Labels "org.opencontainers.image.licenses"}}';
    const inspected = await must("user", [
      "podman",
      "image",
      "inspect",
      "--format",
      format,
      `localhost/portshim:${VERSION}`,
    ]);
    assert.is(inspected, `${architecture} ${VERSION} MIT\n`);
  }
});

test.run();
