import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";
import { type Lab, startLab } from "./lab.js";
import { BASE } from "./start.js";

const test = suite("publishing a port, as README says", "lab", "nodes");

const FILE = "/etc/sysctl.d/90-portshim.conf";
const SERVER = ["--rm", "--name", "web", "--hostname", "published", BASE, "busybox", "httpd", "-f", "-h", "/etc"];

/** README's section: the errors that people search for, and the commands that help. */
const [pasta = "", rootlessport = "", persist = "", fromToolbox = ""] = (() => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, section = ""] = /^## Publishing a port\n([\s\S]*?)^## /m.exec(readme) ?? [];
  return [...section.matchAll(/(?:^ {4}.*\n)+/gm)].map(([block]) => block.replace(/^ {4}/gm, "").trim());
})();

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.polkit("YES");
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));
test.after.each(() => lab.removeFile("host", FILE));

const podman = (...argv: string[]) => lab.asUser(["podman", ...argv], { timeout: 60_000 });
const publish = (...options: string[]) => podman("run", "--detach", ...options, "-p", "80:80", ...SERVER);

/** Asserts that the server in the container answers on the host's port 80. */
async function assertServed(): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      assert.equal(await lab.fetch(80, "/hostname"), { status: 200, body: "published\n" });
      break;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

const remove = () => podman("rm", "--force", "--time", "0", "web");

for (const [name, options, error] of [
  ["pasta", [], pasta],
  ["rootlessport", ["--network", "slirp4netns"], rootlessport],
] as const) {
  test(`podman with ${name}: the error that README has; after portshim persist it works, and after a reboot`, async () => {
    const refused = await publish(...options);
    assert.equal([refused.status, refused.stdout.includes("published")], [126, false]);
    assert.ok(error.startsWith("Error: ") && error.includes(name));
    assert.match(refused.stderr, error);

    const { status, stderr } = await lab.inToolbox(persist.split(" "));
    assert.is(status, 0, stderr);
    for (const when of ["at once", "after a reboot"]) {
      if (when === "after a reboot") await lab.reboot();
      const run = await publish(...options);
      assert.is(run.status, 0, `${when}: ${run.stderr}`);
      await assertServed();
      await remove();
    }
  });
}

test("rootless docker: rootlessport's error without its name; after portshim persist it works", async () => {
  const folder = `/run/user/${lab.uid}`;
  const env = { DOCKER_HOST: `unix://${folder}/docker.sock` };
  const daemon = await lab.spawn("user", ["/usr/share/docker.io/contrib/dockerd-rootless.sh", "--storage-driver=vfs"], {
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  await daemon.waitFor(/API listen on/);
  const sh = (script: string) => lab.asUser(["sh", "-c", script, "sh", ...SERVER], { env, timeout: 120_000 });
  const loaded = await sh(`podman save ${BASE} | docker load`);
  assert.is(loaded.status, 0, loaded.stderr);
  const refused = await sh('docker run --detach -p 80:80 "$@"');
  assert.is(refused.status, 126);
  assert.match(refused.stderr, rootlessport.replace("Error: rootlessport ", ""));
  const { status, stderr } = await lab.inToolbox(persist.split(" "));
  assert.is(status, 0, stderr);
  const run = await sh('docker run --detach -p 80:80 "$@"');
  assert.is(run.status, 0, run.stderr);
  await assertServed();
  await daemon.kill();
  await daemon.exited;
});

test("from a toolbox, README's other line: one question, and podman on the host serves", async () => {
  const asked = (await lab.prompts()).length;
  const argv = fromToolbox.split(" ").flatMap((word) => (word === "…" ? SERVER : [word]));
  // Fedora has flatpak-spawn on PATH, Debian does not.
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/libexec/flatpak-xdg-utils" };
  const running = await lab.spawn("toolbox", argv, { env });
  await assertServed();
  await remove();
  await running.exited;
  const set = "/usr/sbin/sysctl -w net.ipv4.ip_unprivileged_port_start=80";
  assert.equal([(await lab.prompts()).slice(asked), running.stdout], [[set], ""]);
});

test.run();
