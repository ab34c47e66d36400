import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";
import { UNSAFE } from "../unsafe.js";
import { archiveOf, type Layer, type LayerFile, layerOf } from "./archive.js";
import { type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, startLab } from "./lab.js";
import { NAME } from "./start.js";

const test = suite("images made to hurt portshim-images (ENTRIES=…)", "lab", "nodes", "compiler");

/** How many small files; with a million it takes some minutes, most of them the engine's. */
const ENTRIES = Number(process.env.ENTRIES || 3000);

/** Whether every configuration is tried, and not only those in which most is odd at once. */
const IS_LONG = process.env.ENTRIES !== undefined;

/** Milliseconds for a command, on a machine that does much else. */
const LONGEST = 100_000;

/** Bytes that portshim-images can hold and read; for an image of nothing it is 100 MB and 2.5 MB. */
const MOST_MEMORY = 500e6;
const MOST_READ = 100e6;

let lab: Lab;
let engine: Engine;
/** A program that says how it was started. */
let program: Layer;
/** The same, where Node should be. */
let noNode: Layer;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
  await lab.writeFile(
    "host",
    MEASURE,
    `process.on("exit", () => {
      const { readFileSync, writeFileSync } = require("fs");
      const [, read] = /^rchar: (\\d+)/m.exec(readFileSync("/proc/self/io", "latin1"));
      const { maxRSS } = process.resourceUsage();
      writeFileSync("${MEASURED}", JSON.stringify({ memory: maxRSS * 1024, read: Number(read) }));
    });`,
  );
  const folder = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    const say = join(folder, "say");
    execFileSync("gcc", ["-static", "-Os", "-s", "-o", say, join(ROOT, "test", "lab", "say.c")]);
    const content = readFileSync(say);
    [program, noNode] = (await Promise.all(
      ["bin/say", "usr/local/bin/node"].map((name) => layerOf([{ name, mode: 0o755, content }])),
    )) as [Layer, Layer];
  } finally {
    rmSync(folder, { recursive: true });
  }
});
test.after(() => lab.stop());

/** podman loads no configuration of more than 4 MiB. */
const LONGEST_WORD = 3_900_000;

const MEASURE = "/tmp/measure.js";
const MEASURED = "/tmp/measured";

/** Runs portshim-images; whatever the image holds, what is said is safe, soon, and cheap, and nothing stays behind. */
async function run(...argv: string[]) {
  await lab.asUser(["rm", "-f", MEASURED]);
  const started = Date.now();
  const result = await engine.images(argv, { timeout: 120_000, env: { NODE_OPTIONS: `--require=${MEASURE}` } });
  const took = Date.now() - started;
  const { status, stdout, stderr } = result;
  const { memory, read } = JSON.parse(readFileSync(`${lab.root}${MEASURED}`, "utf8"));
  if (IS_LONG) console.log(`${argv.join(" ")}: ${took} ms, ${Math.ceil(memory / 1e6)} MB, ${read / 1e6} MB read`);
  assert.ok(took < LONGEST, `${took} ms`);
  assert.ok(memory < MOST_MEMORY, `${memory} bytes of memory`);
  assert.ok(read < MOST_READ, `${read} bytes read`);
  assert.not.match(stdout + stderr, UNSAFE);
  assert.ok(stdout.length + stderr.length < 20_000, `${stdout.length}`);
  assert.ok([0, 1].includes(status ?? -1), stderr);
  // Its containers are removed, and so is an image that was not completed.
  const list = "podman ps --all --external --quiet && podman images --all --quiet --filter dangling=true";
  const left = async () => (await lab.asUser(["sh", "-c", list])).stdout;
  // podman ends the step of a build that runs.
  for (let tries = 0; (await left()) !== ""; tries++) assert.ok(tries < 20, await left());
  return { status, stdout, stderr };
}

/** Has an image made, and checked. */
async function checked(name: string, instructions: string) {
  const image = `localhost/hostile-${name}:1`;
  await engine.build(image, `FROM ${NODE_IMAGE}\n${instructions}\n`);
  return run("check", image);
}

/** Loads an image that no Containerfile makes. Returns its name. */
async function loaded(name: string, configuration: object | string, layers: readonly Layer[]): Promise<string> {
  const image = `localhost/hostile-${name}:1`;
  const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
  const ids = JSON.stringify(layers.map(({ digest }) => digest));
  const whole = text.replace(/\}$/, `,"rootfs":{"type":"layers","diff_ids":${ids}}}`);
  let said = "";
  for await (const part of await engine.docker.loadImage(archiveOf(image, whole, layers))) said += part;
  assert.match(said, `Loaded image: ${image}`);
  return image;
}

/** What an image of `program` starts, in the shortest PATH that there is: the engine is asked about each folder. */
const STARTS = { Entrypoint: ["/bin/say"], Env: ["PATH=/bin"] };
const LINUX = { architecture: "amd64", os: "linux" };

/** That a wrapped image starts what the image starts: with the same words, user, folder and environment. */
async function assertSame(image: string): Promise<void> {
  const start = async (name: string) => {
    const argv = ["podman", "run", "--rm", "--hostname=same", "--sysctl", `${NAME}=80`, name];
    const { status, stdout, stderr } = await lab.asUser(argv, { timeout: LONGEST });
    const lines = stdout.split("\n");
    const end = lines.findIndex((line) => /^\d+:\d+ /.test(line)) + 1;
    // The engine has no order of its own for variables.
    return { status, said: [...lines.slice(0, end), ...lines.slice(end).sort()], stderr };
  };
  const bare = await start(image);
  const wrapped = await start(`${image}-portshim`);
  assert.not.match(bare.status === 7 ? wrapped.stderr : "", "portshim:");
  if (bare.status === 7) return assert.equal([wrapped.status, wrapped.said], [bare.status, bare.said]);
  // What the engine refuses to start is not started by portshim either.
  assert.equal([wrapped.status === 0, wrapped.status === 7, wrapped.said], [false, false, [""]]);
}

/** The engine unpacks a million of them in two minutes, where touch(1) in a RUN would need six. */
function* manyIn(folder: string): Generator<LayerFile> {
  for (let n = 0; n < ENTRIES; n++) yield { name: `${folder}/${n}.conf` };
}

const TOO_MUCH = (what: string) =>
  `portshim-images: the image is not one that can be read: its ${what} holds more than 1000 files or 16 MiB.\n`;

test("thousands of files in sysctl.d: a sentence", async () => {
  const image = await loaded("many", { ...LINUX, config: STARTS }, [program, await layerOf(manyIn("etc/sysctl.d"))]);
  for (const command of ["check", "wrap"]) {
    assert.equal(await run(command, image), { status: 1, stdout: "", stderr: TOO_MUCH("/etc/sysctl.d") });
  }
});

test("thousands of files elsewhere: nothing special", async () => {
  const image = await loaded("elsewhere", { ...LINUX, config: STARTS }, [
    program,
    noNode,
    await layerOf(manyIn("srv")),
  ]);
  assert.match((await run("check", image)).stdout, "sysctl.d    no files");
  assert.is((await run("wrap", image)).status, 0);
  await assertSame(image);
});

test("files of 10 GB: what is read is read in part, or not at all", async () => {
  const files = ["etc/passwd", "etc/group", "etc/sysctl.conf", "etc/sysctl.d/a.conf", "srv/data"];
  const names = [...files, "run/sysctl.d/b.conf", "usr/bin/node"];
  const layer = await layerOf([
    ...names.map((name) => ({ name, mode: 0o755, content: Buffer.from("#") })),
    { name: "etc/sysctl.d/z.conf", target: "/srv/data" },
  ]);
  const config = { ...STARTS, Env: ["PATH=/bin:/usr/bin"] };
  const image = await loaded("large", { ...LINUX, config }, [program, layer]);
  // In the engine's own storage: it would write 10 GB of zeros, for which the lab has no room. It sends them as such.
  const enlarge = async (...paths: string[]) => {
    const script = `cd "$(podman image inspect --format '{{.GraphDriver.Data.UpperDir}}' "$1")" && shift && truncate -s 10G "$@"`;
    const { status, stderr } = await lab.asUser(["sh", "-c", script, "sh", image, ...paths]);
    assert.is(status, 0, stderr);
  };
  await enlarge(...files.filter((name) => !name.includes("sysctl.d")), "usr/bin/node");
  const { status, stdout, stderr } = await run("check", image);
  assert.is(status, 0, stderr);
  assert.match(stdout, "Node.js     does not start (/usr/bin/node)");
  assert.match(stdout, "/etc/sysctl.d/z.conf: nothing about ports");
  assert.match((await run("wrap", image, "--user=web")).stderr, `portshim-images: ${image} has no user web.`);
  if (IS_LONG) {
    assert.is((await run("wrap", image)).status, 0);
    await assertSame(image);
  }
  await enlarge("etc/sysctl.d/a.conf");
  assert.is((await run("check", image)).stderr, TOO_MUCH("/etc/sysctl.d"));
  await enlarge("run/sysctl.d/b.conf");
  assert.match((await run("wrap", image)).stderr, "holds more than 1000 files or 16 MiB");
});

test("many files, or links to one, that can each be read: a sentence", async () => {
  const text = Buffer.from(`${NAME}=80\n`.repeat(800_000 / 40));
  const files = Array.from({ length: 2 }, (_, n) => ({ name: `etc/sysctl.d/${n}.conf`, content: text }));
  const links = Array.from({ length: 100 }, (_, n) => ({ name: `etc/sysctl.d/${n}.conf`, target: "/srv/data" }));
  for (const [name, layer] of [
    ["files", files],
    ["links-to-one", [{ name: "srv/data", content: text }, ...links]],
  ] as const) {
    const image = await loaded(name, { ...LINUX, config: STARTS }, [program, await layerOf(layer)]);
    const sentence = "the image is not one that can be read: its sysctl.d files hold more than 1 MiB.";
    assert.is((await run("check", image)).stderr, `portshim-images: ${sentence}\n`);
  }
  // The worst that is read: nothing but lines.
  const lines = [{ name: "etc/sysctl.d/a.conf", content: Buffer.alloc(2 ** 20, "\n") }];
  const image = await loaded("lines", { ...LINUX, config: STARTS }, [program, await layerOf(lines)]);
  assert.match((await run("check", image)).stdout, "/etc/sysctl.d/a.conf: nothing about ports");
});

test("links that loop, or lead to everything", async () => {
  const links = [
    ...[
      "ln -sf sysctl.conf /etc/sysctl.conf",
      "ln -s b.conf /etc/sysctl.d/a.conf",
      "ln -s a.conf /etc/sysctl.d/b.conf",
    ],
    ...[
      "mkdir -p /usr/local/lib",
      "ln -s /usr/local/lib/sysctl.d /usr/local/lib/sysctl.d",
      "ln -s / /etc/sysctl.d/c.conf",
    ],
    ...["ln -s ../../../../../../etc/passwd /etc/sysctl.d/d.conf", "ln -s /proc/self/fd/0 /etc/sysctl.d/e.conf"],
    `echo ${NAME}=443 >/etc/sysctl.d/z.conf`,
  ];
  const { status, stdout, stderr } = await checked("links", `RUN ${links.join(" && ")}`);
  assert.is(status, 0, stderr);
  assert.match(stdout, "/etc/sysctl.d/z.conf:1 sets 443");
  // The whole image, if it were read.
  assert.match((await checked("root", "RUN ln -sf / /etc/sysctl.conf")).stderr, /^$/);
  const many = "cd /etc/sysctl.d && for n in $(seq 150); do ln -s /etc/passwd $n.conf; done";
  assert.match((await checked("all-links", `RUN ${many}`)).stderr, "its /etc/sysctl.d has more than 100 links");
});

test("names of every kind", async () => {
  const names = [
    "\\033[2J",
    "a\\nb",
    "\\342\\200\\256",
    "\\377",
    "..",
    "n".repeat(240),
    "a b",
    "-n",
    "'",
    '"',
    "\\t\\r",
  ];
  const make = names.map(
    (name) => `touch -- "$(printf '%b' '${name.replaceAll("'", "_").replaceAll("\\", "\\\\")}').conf"`,
  );
  // In a file of its own: a Containerfile has words of its own.
  const script = Buffer.from(`cd /etc/sysctl.d\n${make.join("\n")}\necho ${NAME}=81 >z.conf\n`).toString("base64");
  const { status, stdout } = await checked("names", `RUN echo ${script} | base64 -d | sh`);
  assert.is(status, 0);
  assert.match(stdout, "/etc/sysctl.d/z.conf:1 sets 81");
});

const SHELL = ["/bin/sh", "-c"];
const CONTROLS = "\u001b[2J\u202e\n";
const ODD_LABELS = { [CONTROLS]: CONTROLS, "": "", a: "\n# escape=`\nRUN x" };
const ODD_PORTS = { "1-65535": {}, "80": {}, "53/udp": {}, "65535/tcp": {} };
const ODD_WORDS = ["", CONTROLS, "$PATH", "<<EOF", "\\", "`", "\ud800", "a\nRUN x", "]", "--"];

/** What an image is made of that no Containerfile makes. */
interface Odd {
  /** The configuration of what it starts, over STARTS. */
  readonly config?: object | null;
  /** What stands beside it. */
  readonly image?: object;
  /** What wrap says, if it refuses; else the new image has to start what this one starts. */
  readonly refused?: string;
}

/** Each in the gate is much at once. */
const ODD: Record<string, Odd> = {
  "words, variables and places": {
    config: {
      Entrypoint: ["/bin/say", null, ...ODD_WORDS],
      Cmd: ["", ...ODD_WORDS],
      Env: ["PATH=/a", "A", "A=", `B=${CONTROLS}`, `PATH=/${"p".repeat(5000)}:/bin`],
      WorkingDir: 'no/"such $A',
      ExposedPorts: ODD_PORTS,
      Labels: ODD_LABELS,
    },
    image: { history: [{ created_by: CONTROLS }], variant: CONTROLS },
  },
  triggers: {
    config: { OnBuild: ["COPY portshim /usr/local/bin/portshim", "COPY lib/ /lib/", 'RUN ["/bin/say"]'] },
    refused: "is a base image: it has ONBUILD instructions, which would run now",
  },
};

/** Of what no program starts with, or hardly any. */
const TOO_LONG = "its configuration holds more than 256 KiB";

/** The others, if there is time. */
const MORE_ODD: Record<string, Odd> = {
  "no configuration": { config: null },
  "nothing to start": { config: { Entrypoint: null, Cmd: null } },
  "empty words": { config: { Entrypoint: ["", ""], Cmd: [""] } },
  "a command alone": { config: { Entrypoint: [], Cmd: ["/bin/say", "x"] } },
  "a NUL": { config: { Entrypoint: ["/bin/say", "a\u0000b"] } },
  "100,000 words": { config: { Entrypoint: ["/bin/say", ...Array(100_000).fill("a")] }, refused: TOO_LONG },
  "100,000 Nodes": {
    config: { Entrypoint: ["/bin/say", ...Array.from({ length: 100_000 }, (_, n) => `/${n}/node`)] },
    refused: TOO_LONG,
  },
  "a long word": { config: { Entrypoint: ["/bin/say", "x".repeat(100_000)] } },
  slashes: { config: { Entrypoint: ["/".repeat(LONGEST_WORD)] }, refused: TOO_LONG },
  "Nodes in a word": { config: { Entrypoint: ["/node".repeat(LONGEST_WORD / 5)] }, refused: TOO_LONG },
  portshims: { config: { Entrypoint: [...SHELL, "portshim ".repeat(LONGEST_WORD / 9)] }, refused: TOO_LONG },
  "commands of a shell": { config: { Entrypoint: [...SHELL, ";".repeat(LONGEST_WORD)] }, refused: TOO_LONG },
  "blanks after portshim": {
    config: { Entrypoint: [...SHELL, `portshim${" ".repeat(LONGEST_WORD)}`] },
    refused: TOO_LONG,
  },
  "a dash": { config: { Entrypoint: ["-say"] } },
  "two dashes": { config: { Entrypoint: ["--", "/bin/say"] } },
  "a folder": { config: { Entrypoint: ["/bin"] } },
  "portshim without a command": { config: { Entrypoint: ["portshim"] } },
  "a variable without a name": { config: { Env: ["=C"] }, refused: "the engine could not look into" },
  "PATH empty": { config: { Env: ["PATH="], Entrypoint: ["say"] } },
  "PATH of 1 MB": { config: { Env: [`PATH=/${"p".repeat(1.5e6)}:/bin`] }, refused: TOO_LONG },
  "PATH of 100,000": {
    config: { Env: [`PATH=${Array.from({ length: 100_000 }, (_, n) => `/p${n}`).join(":")}`] },
    refused: TOO_LONG,
  },
  "PATH of 20,000": { config: { Env: [`PATH=/bin:${Array.from({ length: 20_000 }, (_, n) => `/p${n}`).join(":")}`] } },
  PORTSHIM_USER: {
    config: { Env: ["PATH=/bin", "PORTSHIM_USER=web"] },
    refused: "has no Node.js, which portshim needs to become another user",
  },
  "a user of 1 MB": { config: { User: "x".repeat(1e6) }, refused: TOO_LONG },
  "a user of controls": { config: { User: CONTROLS } },
  "a user 0:0:0": { config: { User: "0:0:0" } },
  "a user of a colon": { config: { User: ":" } },
  "a user below 0": { config: { User: "-1" } },
  "a user of 33 bits": { config: { User: "4294967296" } },
  "a folder of 1 MB": { config: { WorkingDir: `/${"x".repeat(1e6)}` }, refused: TOO_LONG },
  "a folder of controls": { config: { WorkingDir: `/${CONTROLS}` } },
  "a folder that is a file": { config: { WorkingDir: "/bin/say" } },
  "a folder above": { config: { WorkingDir: "/../../.." } },
  "a trigger that is none": { config: { OnBuild: ["", "# x", "\n"] } },
  "a trigger of a trigger": { config: { OnBuild: ["ONBUILD RUN x"] }, refused: "isn't allowed" },
  "a trigger FROM": { config: { OnBuild: ["FROM scratch"] }, refused: "isn't allowed" },
  "triggers like the rest": {
    config: { OnBuild: ["COPY portshim /a", "COPY lib/ /b", "ENTRYPOINT x", "CMD x"] },
    refused: "ONBUILD",
  },
  "100,000 labels": {
    config: { Labels: Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`l${n}`, ""])) },
    refused: TOO_LONG,
  },
  "60,000 ports": {
    config: { ExposedPorts: Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`${n + 1}/tcp`, {}])) },
    refused: TOO_LONG,
  },
  "a port 99999": { config: { ExposedPorts: { "99999/tcp": {} } }, refused: "the engine could not look at" },
  "a port of SCTP": { config: { ExposedPorts: { "53/sctp": {} } }, refused: "the engine could not look at" },
  "a port of controls": { config: { ExposedPorts: { [CONTROLS]: {} } }, refused: "the engine could not look at" },
  "15,000 labels": { config: { Labels: Object.fromEntries(Array.from({ length: 15_000 }, (_, n) => [`l${n}`, ""])) } },
  "15,000 ports": {
    config: { ExposedPorts: Object.fromEntries(Array.from({ length: 15_000 }, (_, n) => [`${n + 1}/tcp`, {}])) },
  },
  "a toolbox": { config: { Labels: { "com.github.containers.toolbox": "true" } } },
  "no architecture": { image: { architecture: "" }, refused: "there is no portshim for linux/," },
  "an architecture of controls": { image: { architecture: CONTROLS }, refused: "there is no portshim for linux/ [2J" },
  "an architecture in capitals": { image: { architecture: "AMD64" }, refused: "there is no portshim for linux/AMD64" },
  Windows: { image: { os: "windows" }, refused: "there is no portshim for windows/amd64" },
  "no system": { image: { os: "" }, refused: "there is no portshim for" },
  "volumes over all": { config: { Volumes: { "/": {}, relative: {}, [CONTROLS]: {} } } },
  "a volume over portshim": { config: { Volumes: { "/usr/local": {} } } },
  "a volume over its folder": { config: { Volumes: { "/usr/local/bin": {} } } },
  "a signal that is none": { config: { StopSignal: CONTROLS }, refused: "the engine could not look into" },
  "a health check of controls": {
    config: { Healthcheck: { Test: ["CMD", CONTROLS], Interval: -5 }, Shell: [CONTROLS] },
  },
};

// podman loads none of these: an Entrypoint that is a string or an object, or has numbers or lists in it; a Cmd that is
// a string or an object; an Env that is an object; a User that is a number; Labels that are a list, or numbers;
// ExposedPorts that are a list; an OnBuild that is a string; a configuration that is a list or a string, or not of one
// architecture; and any of more than 4 MiB.
for (const [name, { config, image: beside, refused }] of Object.entries({ ...ODD, ...(IS_LONG ? MORE_ODD : {}) })) {
  test(`an odd image: ${name}`, async () => {
    const odd = { ...LINUX, ...beside, ...(config === null ? {} : { config: { ...STARTS, ...config } }) };
    const image = await loaded(name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_"), odd, [program]);
    const check = await run("check", image);
    assert.ok(check.stdout !== "" || check.stderr.startsWith("portshim-images: "), check.stderr);
    const wrap = await run("wrap", image);
    if (refused === undefined) {
      assert.is(wrap.status, 0, wrap.stderr);
      if (!wrap.stdout.includes("nothing to do")) await assertSame(image);
    } else {
      assert.equal([wrap.status, wrap.stdout], [1, ""]);
      assert.match(wrap.stderr, /^portshim-images: .*\.$/m);
      assert.match(wrap.stderr, refused);
    }
    await lab.asUser(["podman", "rmi", "--force", image, `${image}-portshim`]);
  });
}

if (IS_LONG) {
  test("127 layers", async () => {
    const layers = await Promise.all(Array.from({ length: 126 }, (_, n) => layerOf([{ name: `srv/${n}` }])));
    const image = await loaded("layers", { ...LINUX, config: STARTS }, [program, ...layers]);
    assert.is((await run("check", image)).status, 0);
    const wrap = await run("wrap", image);
    if (wrap.status === 0) await assertSame(image);
    else assert.match(wrap.stderr, "portshim-images: the build failed at ");
  });

  // The last, as it leaves its steps for another build.
  test("thousands of files elsewhere: FROM and COPY --from them", async () => {
    const image = "localhost/hostile-elsewhere:1";
    for (const argv of [
      ["node", "--build-arg", `BASE=${image}`],
      ["toolbox", "--build-arg", `NODE=${image}`, "--build-arg", `BASE=${NODE_IMAGE}`],
    ]) {
      const { status, stderr } = await engine.images(["build", ...argv], { timeout: LONGEST });
      assert.is(status, 0, stderr);
    }
  });
}

test.run();
