import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import Docker from "dockerode";
import * as assert from "uvu/assert";
import { type ContextFile, folderFiles } from "../../images/lib/context.js";
import { VERSION } from "../../shim/lib/cli/version.js";
import { ELF_AARCH64, ELF_X86_64, elfMachine } from "../elf.js";
import { ROOT } from "../need.js";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { contentsOf, contextFile, type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, type Result, type RunOptions, startLab } from "./lab.js";
import { answer, NAME, saveImages } from "./start.js";

const test = suite("the Containerfile", "lab", "nodes", "qemu", "registry");

const COMPILER = "localhost/compiler:1";
/** What the Containerfile builds on if it is told nothing. */
const [, DEFAULT_BASE = ""] = /^ARG BASE=(\S+)$/m.exec(readFileSync(join(ROOT, "Containerfile"), "utf8")) ?? [];
const CACHE = process.env.PORTSHIM_LAB_CACHE ?? join(homedir(), ".cache", "portshim-lab");

let lab: Lab;
let engine: Engine;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
  const npm = join(execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim(), "npm");
  // Only what fetches is told that the lab has no network; what is fetched, and all that is done with it, is the real thing.
  await engine.build(
    COMPILER,
    `FROM ${NODE_IMAGE}
COPY npm /opt/npm
COPY npm-cache /opt/npm-cache
COPY apt /opt/apt
RUN ln -s /opt/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s /opt/npm/bin/npx-cli.js /usr/local/bin/npx \\
  && rm -rf /etc/apt/sources.list* && echo 'deb [trusted=yes] file:/opt/apt ./' >/etc/apt/sources.list
ENV npm_config_cache=/opt/npm-cache npm_config_offline=true
`,
    [...folderFiles(npm, "npm/"), ...npmCache(), ...(await aptRepository())],
  );
});
test.after(() => lab.stop());

/** The npm packages that the Containerfile fetches. */
function npmCache(): ContextFile[] {
  const cache = join(CACHE, "npm");
  const folder = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    for (const name of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(ROOT, name), join(folder, name));
    const [, command = ""] =
      readFileSync(join(ROOT, "Containerfile"), "utf8").match(/^RUN (npm pkg [\s\S]*?[^\\])$/m) ?? [];
    const env = { ...process.env, npm_config_cache: cache, npm_config_prefer_offline: "true" };
    execFileSync("sh", ["-c", command], { cwd: folder, env, stdio: "pipe" });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return folderFiles(join(cache, "_cacache"), "npm-cache/_cacache/");
}

/** The Debian packages that the Containerfile and build.sh fetch, from where the image's own came from. */
async function aptRepository(): Promise<ContextFile[]> {
  const read = async (paths: string) =>
    (await lab.asUser(["podman", "run", "--rm", NODE_IMAGE, "sh", "-c", `cat ${paths}`])).stdout;
  const sources = await read("/etc/apt/sources.list /etc/apt/sources.list.d/*.list");
  // Of each of Debian's releases by itself: what lies there is all in the repository.
  const cache = join(CACHE, "apt", createHash("sha256").update(sources).digest("hex").slice(0, 16));
  const archives = join(cache, "archives");
  for (const folder of [join(archives, "partial"), join(cache, "lists", "partial")]) {
    mkdirSync(folder, { recursive: true });
  }
  writeFileSync(join(cache, "sources.list"), sources);
  writeFileSync(join(cache, "status"), await read("/var/lib/dpkg/status"));
  const configuration = join(cache, "apt.conf");
  writeFileSync(
    configuration,
    `#clear APT::Update;
    #clear APT::Architectures;
    APT::Architectures { "amd64"; "arm64"; };
    APT::Sandbox::User "root";
    Acquire::Languages "none";
    Dir::Cache "${cache}";
    Dir::Etc::sourcelist "${cache}/sources.list";
    Dir::Etc::sourceparts "/dev/null";
    Dir::State "${cache}";
    Dir::State::lists "${cache}/lists";
    Dir::State::status "${cache}/status";`,
  );
  const apt = (...argv: string[]) =>
    execFileSync("apt-get", ["-qq", "-c", configuration, ...argv], { cwd: archives, stdio: "pipe" });
  apt("update");
  const install = ["install", "--download-only", "--yes", "--no-install-recommends"];
  apt(...install, "gcc", "musl-tools", "gcc-aarch64-linux-gnu");
  apt("download", "musl-dev:arm64");
  const names = readdirSync(archives).filter((name) => name.endsWith(".deb"));
  const index = names.map((name) => {
    const run = (program: string, ...argv: string[]) =>
      execFileSync(program, [...argv, join(archives, name)], { encoding: "utf8" });
    const [sum] = run("sha256sum").split(" ");
    const [size] = run("stat", "--format=%s").split("\n");
    return `${run("dpkg-deb", "--field")}Filename: ./${name}\nSize: ${size}\nSHA256: ${sum}\n`;
  });
  const packages = names.map((name) => ({
    path: `apt/${name}`,
    content: readFileSync(join(archives, name)),
    executable: false,
  }));
  return [contextFile("apt/Packages", index.join("\n")), ...packages];
}

function podmanBuild(...options: string[]): Promise<Result> {
  const argv = ["podman", "build", "--isolation=chroot", `--build-arg=BASE=${COMPILER}`, ...options];
  return lab.asUser([...argv, lab.repository], { timeout: 300_000 });
}

for (const [architecture, elf, options] of [
  ["amd64", ELF_X86_64, []],
  // Without the second podman 4 would run the build on the machine that it is for.
  ["arm64", ELF_AARCH64, ["--platform=linux/arm64", "--build-arg=BUILDPLATFORM=linux/amd64"]],
] as const) {
  const image = `localhost/${architecture}:1`;

  test(`podman build of a checkout, for ${architecture}: one layer, of portshim alone`, async () => {
    const built = await podmanBuild(`--tag=${image}`, ...options);
    assert.is(built.status, 0, built.stderr);
    assert.is((await engine.layers(image)).length, 1);
    const { Architecture, Config } = await engine.docker.getImage(image).inspect();
    assert.equal(
      [
        Architecture,
        Config.Labels["org.opencontainers.image.title"],
        Config.Labels["org.opencontainers.image.version"],
      ],
      [architecture, "portshim", VERSION],
    );

    const contents = await engine.contents(image);
    const gained = [...contents.values()].reduce((sum, { content }) => sum + content.length, 0);
    assert.ok(gained <= 200_000, `${gained} bytes`);
    const modes = [...contents].map(([path, { mode }]) => `${(mode & 0o7777).toString(8)} ${path}`).sort();
    const sources = readdirSync(join(ROOT, "shim", "src"), { recursive: true, encoding: "utf8" });
    const helper = [
      "LICENSE",
      ...sources.filter((name) => /^(?!library\/).*(?<!\.d)\.ts$/.test(name)).map((name) => name.replace(/ts$/, "js")),
    ];
    const rooms = [...new Set(helper.map((name) => dirname(name)))].filter((room) => room !== ".");
    const folders = [
      ...["usr/", "usr/local/", "usr/local/bin/", "usr/local/lib/", "usr/local/lib/portshim/"],
      ...rooms.map((room) => `usr/local/lib/portshim/${room}/`),
    ];
    assert.equal(
      modes,
      [
        ...folders.map((path) => `755 ${path}`),
        ...helper.map((name) => `644 usr/local/lib/portshim/${name}`),
        "755 usr/local/bin/portshim",
      ].sort(),
    );

    const launcher = contents.get("usr/local/bin/portshim")?.content as Buffer;
    assert.is(elfMachine(launcher), elf);
    assert.ok(launcher.length <= 100_000, `${launcher.length} bytes`);
  });

  test(`built for ${architecture} again, from the beginning, it is the same layer`, async () => {
    const again = await podmanBuild("--no-cache", "--tag=localhost/again:1", ...options);
    assert.is(again.status, 0, again.stderr);
    assert.equal(await engine.layers("localhost/again:1"), await engine.layers(image));
  });
}

test("portshim-images build layer gives the same, but for what this machine's compiler made of the launcher", async () => {
  assert.is((await engine.images(["build", "layer"])).status, 0);
  await assertSame(engine.docker, "localhost/portshim:latest", "amd64", "usr/local/bin/portshim");
});

/** Asserts that an image is what podman built for the architecture, but for what is in one file. */
async function assertSame(docker: Docker, image: string, architecture: string, except?: string): Promise<void> {
  const theirImage = `localhost/${architecture}:1`;
  const [ours, theirs] = [await contentsOf(docker, image), await engine.contents(theirImage)];
  assert.equal([...ours.keys()].sort(), [...theirs.keys()].sort());
  for (const [path, { mode, content }] of ours) {
    assert.is(mode, theirs.get(path)?.mode, path);
    if (path !== except) assert.ok(content.equals(theirs.get(path)?.content as Buffer), path);
  }
  const described = async (docker: Docker, image: string) => {
    const { Architecture, Config, RootFS } = await docker.getImage(image).inspect();
    const labels = Object.entries(Config.Labels).filter(([name]) => name.startsWith("org.opencontainers.image."));
    assert.ok(labels.length > 0 && RootFS.Layers, image);
    return [Architecture, labels.sort(), RootFS.Layers.length];
  };
  assert.equal(await described(docker, image), await described(engine.docker, theirImage));
}

test("for a machine that there is no launcher for, one sentence", async () => {
  const options = ["--platform=linux/riscv64", "--build-arg=BUILDPLATFORM=linux/amd64"];
  const { status, stdout, stderr } = await podmanBuild(...options);
  assert.not.equal(status, 0);
  assert.match(stdout + stderr, "There is no portshim for riscv64, only for amd64 and arm64.\n");
});

/** Runs a shell command in the checkout as root, who can talk to docker. */
const root = (command: string, options: RunOptions = {}) =>
  lab.asHost(["sh", "-ec", command], { cwd: lab.repository, timeout: 300_000, ...options });

async function must(command: string, options?: RunOptions): Promise<void> {
  const { status, stderr } = await root(command, options);
  assert.is(status, 0, `${command}: ${stderr}`);
}

const DOCKER_BUILD = codeOf("docs/images.md", "docker build -t portshim -f Containerfile .").trim();

test("docker has the base", async () => {
  const images = await saveImages(lab, COMPILER);
  await must(`systemctl start docker; docker load --quiet --input ${images}; docker tag ${COMPILER} ${DEFAULT_BASE}`);
});

// That for this machine last: the next test uses it.
for (const [architecture, command] of [
  ["arm64", DOCKER_BUILD.replace("docker build", "docker build --platform=linux/arm64")],
  ["amd64", DOCKER_BUILD],
] as const) {
  test(`docs/images.md's command for docker, for ${architecture}: the same image as podman's`, async () => {
    await must(command);
    await assertSame(new Docker({ socketPath: `${lab.root}/run/docker.sock` }), "portshim", architecture);
  });
}

test("docs/images.md's two lines, by docker: an image's own user's server has port 80", async () => {
  const lines = codeOf("docs/images.md", "COPY --from=portshim / /");
  const input = `FROM ${DEFAULT_BASE}\nCOPY server.js ./\n${lines}USER 1000\n`;
  await must("docker build --tag web --file - test/fixture", { input });
  await must("docker run --detach --publish 8080:80 web");
  assert.is(await answer(lab, 8080), "1 /\n");
  // By what only the helper can say.
  const high = await root(`docker run --rm --sysctl ${NAME}=1024 web`);
  assert.is(high.status, 69);
  assert.match(high.stderr, `docker run --sysctl ${NAME}=80 …`);
});

test("docker without its plugin buildx, and so without BuildKit: it cannot, and names the plugin", async () => {
  const { status, stderr } = await root(
    `unshare --mount sh -ec 'mount -t tmpfs tmpfs /usr/libexec/docker/cli-plugins; ${DOCKER_BUILD}'`,
  );
  assert.not.equal(status, 0);
  assert.match(stderr, "Install the buildx component");
  assert.match(stderr, "failed to parse platform");
});

test.run();
