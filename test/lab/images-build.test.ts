import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { buildRecipe } from "../../images/lib/build.js";
import { folderFiles } from "../../images/lib/context.js";
import { connect } from "../../images/lib/engine.js";
import type { ImagesError } from "../../images/lib/failure.js";
import { suite } from "../suite.js";
import { contextFile, type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, startLab } from "./lab.js";
import { NAME } from "./start.js";

const test = suite("portshim-images build", "lab", "nodes");

const LAYER = "localhost/portshim:latest";
const TOOLBOX_BASES = ["--build-arg", "BASE=localhost/portshim-lab/toolbox:1", "--build-arg", `NODE=${NODE_IMAGE}`];
const SILENT = { step: () => {}, line: () => {}, end: () => {} };

let lab: Lab;
let engine: Engine;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
});
test.after(() => lab.stop());

/** The names that images have. */
async function names(): Promise<string[]> {
  return (await engine.docker.listImages()).flatMap(({ RepoTags }) => RepoTags ?? []).sort();
}

test("portshim-images build layer gives the same layer each time", async () => {
  const { status, stdout } = await engine.images(["build", "layer"]);
  assert.equal(
    [status, stdout],
    [
      0,
      `${LAYER}: portshim alone, for other images to copy. In a Containerfile:\n    COPY --from=localhost/portshim / /\n`,
    ],
  );
  const first = await engine.layers(LAYER);
  await lab.asUser(["podman", "rmi", LAYER]);
  await engine.images(["build", "layer"]);
  assert.equal(await engine.layers(LAYER), first);
  assert.is(first.length, 1);
});

test("the example serves on port 80, as a user that is not root", async () => {
  const { status, stdout } = await engine.images(["build", "node", "--build-arg", `BASE=${NODE_IMAGE}`]);
  assert.is(status, 0);
  const line = stdout.match(/Try it:\n {4}(podman run .*)\n/)?.[1] as string;
  assert.is(line, `podman run --rm --sysctl ${NAME}=80 -p 8080:80 localhost/portshim-node:latest`);
  const running = await lab.spawn("user", line.split(" "));
  await running.waitFor(/serving on port 80\n/);
  assert.is((await lab.fetch(8080)).body, "Hello from port 80. I am process 1, user 1000.\n");
  await running.kill();
  assert.equal([(await running.exited).status, running.stderr], [0, ""]);
});

test("with the host's network and the session bus, the example asks the host", async () => {
  await lab.setThreshold(1024);
  await lab.polkit("YES");
  const bus = `/run/user/${lab.uid}/bus`;
  const options = `--network host --userns keep-id --user ${lab.uid} -v ${bus}:${bus} -e DBUS_SESSION_BUS_ADDRESS`;
  const running = await lab.spawn("user", ["podman", "run", "--rm", ...options.split(" "), "localhost/portshim-node"]);
  await running.waitFor(/serving on port 80\n/);
  assert.is((await lab.fetch(80)).body, `Hello from port 80. I am process 1, user ${lab.uid}.\n`);
  await running.kill();
  await running.exited;
  assert.is(await lab.threshold(), 80);
});

test("a toolbox from the toolbox recipe: create, enter, and a server on port 80", async () => {
  const { status, stdout, stderr } = await engine.images(["build", "toolbox", ...TOOLBOX_BASES]);
  assert.is(status, 0, stderr);
  assert.match(stdout, "toolbox create --image localhost/portshim-toolbox:latest web && toolbox enter web\n");
  // podman 4 removes the image of a stage without a step, if it does not keep layers.
  for (const image of ["localhost/portshim-lab/toolbox:1", NODE_IMAGE]) assert.ok((await names()).includes(image));

  const create = await lab.asUser([
    "toolbox",
    "--assumeyes",
    "create",
    "--image",
    "localhost/portshim-toolbox:latest",
    "web",
  ]);
  assert.is(create.status, 0, create.stderr);
  const entered = await lab.asUser(["script", "-qec", "toolbox enter web", "/dev/null"], {
    input: "portshim --version; node --version; exit\n",
  });
  assert.match(entered.stdout, /portshim \d+\.\d+\.\d+\r\nv26\.10\.0\r\n/);

  await lab.setThreshold(1024);
  const server = `/run/host${lab.repository}/test/fixture/server.js`;
  const running = await lab.spawn("user", ["toolbox", "run", "-c", "web", "portshim", "--", "node", server]);
  await running.waitFor(/serving on 80/);
  assert.is((await lab.fetch(80)).status, 200);
  await running.kill();
});

test("on a terminal there is a line for each step, and what a step prints passes by", async () => {
  const command = `stty columns 60; ${lab.nodes}/node26/bin/node ${lab.repository}/images/portshim-images build layer`;
  const { stdout } = await lab.asUser(["script", "-qec", command, "/dev/null"]);
  const lines = stdout.split("\r\n");
  const steps = lines.slice(0, 3).map((line) => line.split("\r\x1b[K").at(-1) ?? "");
  assert.equal(steps.slice(0, 2), ["STEP 1/3: FROM scratch", "STEP 2/3: COPY rootfs/ /"]);
  assert.match(steps[2] ?? "", "STEP 3/3: LABEL org.opencontainers.image.title=");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the terminal line is redrawn with them.
  assert.match(lines[3] as string, /^(\r\x1b\[K {2}.{1,56})+\r\x1b\[Klocalhost\/portshim:latest: portshim alone/);
});

test("a file name that is not ASCII reaches the image", async () => {
  const folder = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    mkdirSync(join(folder, "übung"));
    writeFileSync(join(folder, "übung", "naïve 文件.txt"), "content");
    writeFileSync(
      join(folder, "Containerfile"),
      `FROM ${NODE_IMAGE}\nCOPY . /srv\nCMD ["cat", "/srv/übung/naïve 文件.txt"]\n`,
    );
    const reference = { name: "localhost/named", tag: "1" };
    await buildRecipe(await here(), { reference, files: folderFiles(folder) }, {}, SILENT);
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.is((await lab.asUser(["podman", "run", "--rm", "localhost/named:1"])).stdout, "content");
});

test("what cannot be built is named", async () => {
  for (const [argv, sentence] of [
    [["nginx"], 'unknown recipe "nginx"; known: layer, toolbox, node'],
    [["node", "--build-arg", "BASE"], '--build-arg must be NAME=VALUE, not "BASE"'],
    [["layer", "--build-arg", "BASE=x"], "unknown build argument BASE; known: none"],
    [["--build-arg", "BAES=x"], "unknown build argument BAES; known: BASE, NODE"],
  ] as const) {
    const { status, stderr } = await engine.images(["build", ...argv]);
    assert.equal([status, stderr], [2, `portshim-images: ${sentence}.\n`]);
  }
});

test("a build that fails in the middle says at which step and why, and leaves no name", async () => {
  const before = await names();
  await engine.build("localhost/failing:1", `FROM ${NODE_IMAGE}\nONBUILD RUN echo no space left >&2; exit 3\n`);
  const { status, stderr } = await engine.images(["build", "node", "--build-arg", "BASE=localhost/failing:1"]);
  assert.is(status, 1);
  assert.match(stderr, "\nno space left\n");
  assert.match(
    stderr,
    /\nportshim-images: the build failed at RUN echo no space left >&2; exit 3: .*exit status 3\. No image was made\.\n$/,
  );
  const missing = await engine.images(["build", "node", "--build-arg", "BASE=localhost/nothing:1"]);
  assert.match(missing.stderr, "portshim-images: the build failed at FROM localhost/nothing:1: ");
  assert.equal(await names(), [...before, "localhost/failing:1"].sort());
});

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  test(`${signal} stops a build at once, and leaves no name and no container`, async () => {
    await engine.build(
      "localhost/slow:1",
      `FROM ${NODE_IMAGE}\nONBUILD RUN echo slow; sleep 3\nONBUILD RUN touch /done\n`,
    );
    const before = await names();
    const building = await engine.spawnImages(["build", "node", "--build-arg", "BASE=localhost/slow:1"]);
    await building.waitFor(/\nslow\n/);
    const asked = Date.now();
    await building.kill(signal);
    assert.is((await building.exited).status, status);
    assert.ok(Date.now() - asked < 1500, `${Date.now() - asked} ms`);
    assert.ok(building.stderr.endsWith(`portshim-images: stopped by ${signal}.\n`), building.stderr);
    // podman 4 ends the step that runs, and then stops.
    for (let tries = 0; (await engine.holdings()).some((line) => line.includes("working-container")); tries++) {
      assert.ok(tries < 60, "the build goes on");
      await sleep(200);
    }
    assert.equal(await names(), before);
  });
}

test("an engine that goes away while it builds", async () => {
  await engine.build("localhost/slow:1", `FROM ${NODE_IMAGE}\nONBUILD RUN echo slow; sleep 3\n`);
  const before = await names();
  const building = await engine.spawnImages(["build", "node", "--build-arg", "BASE=localhost/slow:1"]);
  await building.waitFor(/\nslow\n/);
  await engine.kill();
  assert.is((await building.exited).status, 1);
  assert.match(
    building.stderr,
    "portshim-images: the engine went away before it could build localhost/portshim-node:latest",
  );
  assert.ok(building.stderr.endsWith("Start podman's: systemctl --user start podman.socket\n"));
  await engine.start();
  assert.equal(await names(), before);
});

/** The engine that portshim-images uses, from this machine. */
function here() {
  return connect(`unix://${lab.root}${engine.socket}`, {}, new AbortController().signal);
}

test("the engine's own errors are passed on", async () => {
  const reference = { name: "localhost/Upper", tag: "1" };
  const files = [contextFile("Containerfile", "FROM scratch\nCOPY . /\n")];
  const error: ImagesError = await buildRecipe(await here(), { reference, files }, {}, SILENT).then(
    () => assert.unreachable(),
    (reason) => reason,
  );
  assert.is(error.code, "engine-failed");
  assert.match(error.message, /^the engine could not name the new image localhost\/Upper:1: .*must be lowercase/);
});

test.run();
