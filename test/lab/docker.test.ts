import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { busOf, nodeOf } from "./container.js";
import { type Lab, type Result, startLab } from "./lab.js";
import {
  ANOTHER,
  assertStarted,
  BASE,
  HOST_NETWORK,
  NAME,
  SEE,
  saveImages,
  shimAndFile,
  untouched as untouchedIn,
} from "./start.js";

const test = suite("docker", "lab", "nodes");

/** docker starts a container with its own network at 0. */
const HIGH = ["--sysctl", `${NAME}=1024`];
const FLAG = `Start it with this:
    docker run --sysctl ${NAME}=80 …
    (in a compose file: sysctls: ["${NAME}=80"])
`;

let lab: Lab;
let shim: string[];
let node: string[];
let bus: string[];

test.before(async () => {
  lab = await startLab();
  await lab.polkit("YES");
  shim = await shimAndFile(lab);
  node = nodeOf(lab);
  bus = busOf(lab);
  const image = await saveImages(lab, BASE);
  // A user service, like that of dockerd-rootless-setuptool.sh.
  const daemon = ["/usr/share/docker.io/contrib/dockerd-rootless.sh", "--storage-driver=vfs"];
  const path = "PATH=/usr/share/docker.io/contrib:/usr/sbin:/usr/bin";
  await lab.asUser(["systemd-run", "--user", "--unit=docker", `--setenv=${path}`, ...daemon]);
  await lab.asHost(["systemctl", "start", "docker"]);
  for (const docker of [asRoot, asHerself]) {
    const load = `until docker version >/dev/null 2>&1; do sleep 0.1; done; docker load --quiet --input ${image}`;
    const loaded = await docker(["sh", "-c", load]);
    assert.is(loaded.status, 0, loaded.stderr);
  }
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
});

const asRoot = (argv: string[]) => lab.asHost(argv, { timeout: 60_000 });
const asHerself = (argv: string[]) =>
  lab.asUser(argv, { timeout: 60_000, env: { DOCKER_HOST: `unix:///run/user/${lab.uid}/docker.sock` } });

const containerOf =
  (daemon: (argv: string[]) => Promise<Result>) =>
  (options: string[], argv = ["--verbose"]): Promise<Result> =>
    daemon(["docker", "run", "--rm", ...shim, ...options, BASE, "portshim", ...argv, ...SEE]);
const rootful = containerOf(asRoot);
const rootless = containerOf(asHerself);
const untouched = <T>(run: () => Promise<T>) => untouchedIn(lab, run);

test("docker, own network, an image's own user: nothing to do, and no Node", async () => {
  assertStarted(await untouched(() => rootful(ANOTHER, [])), 0);
});

test("docker with --sysctl, own network at 1024, an image's own user: no way, and the flag to use", async () => {
  const run = await untouched(() => rootful([...ANOTHER, ...HIGH, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(run.stderr, "place: a docker container (/.dockerenv)\n");
  // Root's containers have no session.
  assert.match(run.stderr, "from here: there is no session bus here (flatpak-spawn answered: ");
  const onHost = `or, with --network host, run this on the host:\n    sudo sysctl -w ${NAME}=80\n`;
  assert.ok(run.stderr.endsWith(FLAG + onHost), run.stderr);
  assertStarted(await untouched(() => rootful([...ANOTHER, "--sysctl", `${NAME}=80`], [])), 80);
});

test("docker with --sysctl, own network at 1024, root: capability", async () => {
  assertStarted(await untouched(() => rootful([...HIGH, ...node], [])), 1024);
});

test("docker with --sysctl, own network at 1024, the user, with the bus: no way, and the flag to use", async () => {
  const herself = ["--user", `${lab.uid}`, ...bus];
  const run = await untouched(() => rootful([...herself, ...HIGH, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(
    run.stderr,
    "from here: a docker container with its own network: the host's value does not apply here\n",
  );
  assert.ok(run.stderr.endsWith(FLAG), run.stderr);
});

test("a network that is not the user's podman's, which portshim does not see: nsenter says so", async () => {
  // As in a distrobox that docker made with a network of its own.
  const mark = ["--volume", "/dev/null:/usr/bin/distrobox-host-exec:ro"];
  const run = await untouched(() => rootful([...mark, "--user", `${lab.uid}`, ...bus, ...HIGH, ...node], []));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(
    run.stderr,
    "in this container's network namespace: it belongs to none of this user's podman containers\n",
  );
});

test("docker, the host's network, root: capability", async () => {
  assertStarted(await untouched(() => rootful([...HOST_NETWORK, ...node], [])), 1024);
});

test("docker, the host's network, an image's own user: no way, and the command for the host", async () => {
  const run = await untouched(() => rootful([...HOST_NETWORK, ...ANOTHER, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  const [, command = ""] = /or, with --network host, run this on the host:\n {4}(.*)\n$/.exec(run.stderr) ?? [];
  assert.is((await lab.asHost(["sh", "-c", command])).status, 0, run.stderr);
  assertStarted(await rootful([...HOST_NETWORK, ...ANOTHER], []), 80);
});

test("docker, the host's network, the user, with the bus: pkexec", async () => {
  const herself = ["--user", `${lab.uid}`, ...bus];
  assertStarted(
    await rootful([...HOST_NETWORK, ...herself, ...node]),
    80,
    /pkexec [^\n]*sysctl[\s\S]*the host reboots/,
  );
  assert.is(await lab.threshold(), 80);
});

test("rootless docker, own network, an image's own user: nothing to do, and no Node", async () => {
  assertStarted(await untouched(() => rootless(ANOTHER, [])), 0);
});

const NOT_THE_HOSTS = "    (without --network host, which is not the host's network in rootless docker)\n";

test("rootless docker with --sysctl, own network at 1024, an image's own user: no way, and the flag to use", async () => {
  const run = await untouched(() => rootless([...ANOTHER, ...HIGH, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(run.stderr, "place: a rootless docker container (/.dockerenv, and a user namespace)\n");
  assert.ok(run.stderr.endsWith(FLAG + NOT_THE_HOSTS), run.stderr);
  assertStarted(await untouched(() => rootless([...ANOTHER, "--sysctl", `${NAME}=80`], [])), 80);
});

test("rootless docker with --network host, rootlesskit's network, root: capability", async () => {
  assertStarted(await untouched(() => rootless([...HOST_NETWORK, ...node], [])), 1024);
});

test("rootless docker with --network host, rootlesskit's network, an image's own user: no way, and the flag to use", async () => {
  const run = await untouched(() => rootless([...HOST_NETWORK, ...ANOTHER, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.ok(run.stderr.endsWith(FLAG + NOT_THE_HOSTS), run.stderr);
  // So it is: the host's value makes no difference there.
  await lab.setThreshold(80);
  assert.is((await rootless([...HOST_NETWORK, ...ANOTHER, ...node])).status, 69);
});

test("rootless docker with --network host, rootlesskit's network, the user, with the bus: no way, and the flag to use", async () => {
  // Its root is the user; who holds CAP_NET_BIND_SERVICE needs nothing.
  const run = await untouched(() => rootless([...HOST_NETWORK, "--cap-drop=all", ...bus, ...node]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(
    run.stderr,
    "from here: a rootless docker container with its own network: the host's value does not apply here\n",
  );
  assert.ok(run.stderr.endsWith(FLAG + NOT_THE_HOSTS), run.stderr);
});

test.run();
