import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import * as assert from "uvu/assert";
import { folderFiles, packContext } from "../../images/lib/context.js";
import { readDropIns } from "../../images/lib/dropins.js";
import { connect, type Engine, gone } from "../../images/lib/engine.js";
import { isWrapped, optionsIn, wrapEntrypoint } from "../../images/lib/entrypoint.js";
import type { ImagesError } from "../../images/lib/failure.js";
import type { Image } from "../../images/lib/image.js";
import type { Inspection } from "../../images/lib/inspection.js";
import { RECIPES } from "../../images/lib/recipe.js";
import { parseReference, shownReference, wrappedReference } from "../../images/lib/reference.js";
import { helperFiles, launcherFile } from "../../images/lib/shim.js";
import { trial } from "../../images/lib/trial.js";
import { ELF_AARCH64, ELF_X86_64, elfMachine } from "../elf.js";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("images");
const built = suite("images, with launchers for two machines", "qemu");

const IMAGE: Image = {
  reference: "web:1",
  id: "0123456789abcdef",
  entrypoint: ["node"],
  command: ["server.js"],
  user: "",
  environment: new Map(),
  ports: [],
  labels: {},
  system: "linux",
  architecture: "amd64",
  triggers: [],
};
const FOUND: Inspection = {
  image: IMAGE,
  node: { path: "/usr/local/bin/node", isOnPath: true, version: "v24.21.0" },
  dropIns: { files: [], declared: undefined },
};
const NO_WISHES = { start: undefined, user: undefined };
const PODMAN = { program: "podman" } as Engine;
const DOCKER = { program: "docker" } as Engine;

/** The command line, without an engine. */
function images(argv: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, "images", "portshim-images"), ...argv],
    // docker's own socket can exist.
    { encoding: "utf8", env: { DOCKER_HOST: "unix:///nonexistent/socket", ...env } },
  );
  return { status, stdout, stderr };
}

function manifest(workspace: string) {
  return JSON.parse(readFileSync(join(ROOT, workspace, "package.json"), "utf8"));
}

function failure(action: () => unknown): ImagesError {
  try {
    action();
  } catch (error) {
    return error as ImagesError;
  }
  throw new Error("nothing was thrown");
}

test("the entrypoint becomes portshim, its options, --, and what it was", () => {
  assert.equal(wrapEntrypoint(FOUND, NO_WISHES), { entrypoint: ["portshim", "--", "node"], notes: [] });
  assert.equal(wrapEntrypoint(FOUND, { start: 443, user: "www" }).entrypoint, [
    "portshim",
    "--start=443",
    "--user=www",
    "--",
    "node",
  ]);
});

test("an image with only a CMD: it can still be replaced", () => {
  const found = { ...FOUND, image: { ...IMAGE, entrypoint: [] } };
  assert.equal(wrapEntrypoint(found, NO_WISHES).entrypoint, ["portshim", "--"]);
});

test("if /usr/local/bin is not on the image's PATH, portshim is named by its path", () => {
  const found = { ...FOUND, image: { ...IMAGE, environment: new Map([["PATH", "/opt/bin:/bin"]]) } };
  assert.equal(wrapEntrypoint(found, NO_WISHES).entrypoint, ["/usr/local/bin/portshim", "--", "node"]);
});

const INSTALL = "install Node.js 20 or later";
for (const [what, node, lack, remedy] of [
  ["without Node.js", undefined, "no Node.js", INSTALL],
  ["with an old one", { ...FOUND.node, version: "v18.20.4" }, "only Node.js v18.20.4 (/usr/local/bin/node)", INSTALL],
  [
    "with a broken one",
    { ...FOUND.node, version: undefined },
    "a Node.js that does not start on this machine (/usr/local/bin/node)",
    INSTALL,
  ],
  [
    "with one off the PATH (distroless)",
    { ...FOUND.node, path: "/nodejs/bin/node", isOnPath: false },
    "no Node.js on its PATH (only /nodejs/bin/node)",
    "put /nodejs/bin on its PATH",
  ],
] as const) {
  const found = { ...FOUND, node } as Inspection;
  test(`an image ${what} starts its server as before, and the person is told`, () => {
    const { entrypoint, notes } = wrapEntrypoint(found, NO_WISHES);
    assert.equal(entrypoint, ["portshim", "--optional", "--", "node"]);
    assert.equal(notes, [
      `It has ${lack}, so portshim in it cannot ask the host. If the server's port needs a privilege when it starts, ` +
        `portshim says so, and starts the server anyway (--optional). To have it ask: ${remedy}.`,
    ]);
  });
  test(`an image ${what} cannot become another user`, () => {
    const failed = failure(() => wrapEntrypoint(found, { start: undefined, user: "www" }));
    assert.equal(
      [failed.code, failed.message, failed.remedy],
      [
        "not-wrapped",
        `web:1 has ${lack}, which portshim needs to become another user`,
        `Either ${remedy}, or omit --user.`,
      ],
    );
    const environment = new Map([["PORTSHIM_USER", "www"]]);
    const asked = failure(() => wrapEntrypoint({ ...found, image: { ...IMAGE, environment } }, NO_WISHES));
    assert.is(asked.remedy, `Either ${remedy}, or build the image without PORTSHIM_USER.`);
  });
}

built("the launcher is for the image's architecture, and the helper is nothing but the compiled one", () => {
  execFileSync(join(ROOT, "shim", "launcher", "build.sh"), ["x86_64", "aarch64"]);
  for (const [architecture, machine] of [
    ["amd64", ELF_X86_64],
    ["arm64", ELF_AARCH64],
  ] as const) {
    const { path, content, executable } = launcherFile({ system: "linux", architecture }, "bin/portshim");
    assert.equal([path, executable, elfMachine(content)], ["bin/portshim", true, machine]);
  }
  const names = helperFiles("lib").map(({ path }) => path);
  assert.ok(names.includes("lib/main.js"));
  assert.ok(
    names.every((name) => name === "lib/LICENSE" || /^lib\/(\w+\/)?\w+\.js$/.test(name)),
    names.join(),
  );
});

for (const platform of ["linux/riscv64", "windows/amd64"]) {
  test(`there is no portshim for ${platform}: one sentence`, () => {
    const [system = "", architecture = ""] = platform.split("/");
    const { code, message } = failure(() => launcherFile({ system, architecture }, "portshim"));
    assert.equal(
      [code, message],
      ["no-launcher", `there is no portshim for ${platform}, only for linux/amd64 and linux/arm64`],
    );
  });
}

test("an image's drop-ins: what is masked, what is invalid, what wins, whatever the letters of their names", async () => {
  const setting = "net.ipv4.ip_unprivileged_port_start";
  const texts: Record<string, string> = {
    "/usr/lib/sysctl.d/50-öffnung.conf": `${setting} = 443\n`,
    "/etc/sysctl.d/50-öffnung.conf": "# nothing\n",
    "/usr/lib/sysctl.d/60-web.conf": `\n${setting}=80\n`,
    "/etc/sysctl.conf": `${setting} = many\n`,
  };
  const { files, declared } = await readDropIns({
    find: async () => undefined,
    read: async (path) => (texts[path] === undefined ? undefined : Buffer.from(texts[path])),
    folder: async (folder) =>
      Object.entries(texts)
        .filter(([path]) => dirname(path) === folder)
        .map(([path, text]) => ({ name: basename(path), content: Buffer.from(text), target: undefined })),
  });
  // The last one decides, even if it is invalid.
  assert.equal(declared, { file: "/etc/sysctl.conf", line: 1, text: "many", value: undefined });
  assert.equal(
    files.map(({ file, maskedBy, asks }) => [file, maskedBy, asks?.text, asks?.value]),
    [
      ["/etc/sysctl.d/50-öffnung.conf", undefined, undefined, undefined],
      ["/usr/lib/sysctl.d/50-öffnung.conf", "/etc/sysctl.d/50-öffnung.conf", "443", 443],
      ["/usr/lib/sysctl.d/60-web.conf", undefined, "80", 80],
      ["/etc/sysctl.conf", undefined, "many", undefined],
    ],
  );
});

test("a launcher that is not built in this checkout: the command to build it", () => {
  const checkout = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    for (const path of ["images", "shim/lib", "shim/package.json"]) {
      cpSync(join(ROOT, path), join(checkout, path), { recursive: true });
    }
    mkdirSync(join(checkout, "node_modules"));
    symlinkSync("../shim", join(checkout, "node_modules", "portshim"));
    symlinkSync(join(ROOT, "node_modules", "tar-stream"), join(checkout, "node_modules", "tar-stream"));
    const script = `
      const { launcherFile } = require("./images/lib/shim.js");
      try { launcherFile({ system: "linux", architecture: "arm64" }, "portshim") }
      catch ({ code, message, remedy }) { console.log([code, message, remedy].join("\\n")) }`;
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], { cwd: checkout, encoding: "utf8" });
    const said = `no-launcher
there is no portshim for linux/arm64 in this checkout yet
Build it: ${checkout}/shim/launcher/build.sh aarch64
`;
    assert.equal([stdout, stderr], [said, ""]);
  } finally {
    rmSync(checkout, { recursive: true });
  }
});

test("an image that starts portshim already is recognized", () => {
  const is = (entrypoint: string[], command: string[] = []) => isWrapped({ ...IMAGE, entrypoint, command });
  assert.ok(is(["portshim", "--", "node"]));
  assert.ok(is(["/usr/local/bin/portshim", "--start=80", "--"], ["node"]));
  assert.ok(is(["tini", "--", "portshim", "--", "node"]));
  assert.ok(is(["portshim", "--", "node", "server.js", "--", "portshim"]));
  assert.ok(is(["/bin/sh", "-c", "exec portshim --start=443 -- node server.js"]));
  assert.not(is(["node", "server.js"]));
  assert.not(is(["node", "--", "portshim"]));
  assert.not(is([], ["echo", "portshim"]));
  assert.not(is(["/bin/sh", "-c", "echo portshim; node -- server.js"]));
});

test("the options that portshim has in an image", () => {
  const options = (...entrypoint: string[]) => optionsIn({ ...IMAGE, entrypoint, command: [] })?.join(" ");
  assert.is(options("portshim", "--start=80", "--optional", "--", "node", "--", "x"), "--start=80 --optional");
  assert.is(options("tini", "--", "portshim", "--", "node"), "");
  assert.is(options("/bin/sh", "-c", "exec portshim --start=443 --user www -- node"), "--start=443 --user www");
  assert.is(options("node", "portshim"), undefined);
});

test("names of new images", () => {
  const named = (text: string, engine = PODMAN) => shownReference(parseReference(text, engine));
  assert.is(named("web"), "localhost/web:latest");
  assert.is(named("me/web:2"), "localhost/me/web:2");
  assert.is(named("web:2", DOCKER), "web:2");
  assert.is(named("registry.example:5000/me/web"), "registry.example:5000/me/web:latest");
  for (const bad of ["", "Web", "web:", "web@sha256:0", "a b", "-x", "web:-1"]) {
    const { code, message } = failure(() => parseReference(bad, PODMAN));
    assert.equal(
      [code, message],
      ["bad-usage", `"${bad}" cannot be the name of an image: write NAME or NAME:TAG`],
      bad,
    );
  }
});

test("names of wrapped images", () => {
  const named = (reference: string, engine = PODMAN) =>
    shownReference(wrappedReference({ ...IMAGE, reference }, engine));
  assert.is(named("web"), "localhost/web:latest-portshim");
  assert.is(named("docker.io/library/nginx:1.27"), "localhost/nginx:1.27-portshim");
  assert.is(named("registry.example:5000/web"), "localhost/web:latest-portshim");
  assert.is(named("web@sha256:0123"), "localhost/web:portshim");
  // docker's people know no localhost/.
  assert.is(named("web:1", DOCKER), "web:1-portshim");
  assert.is(named("registry.example:5000/me/web:2", DOCKER), "web:2-portshim");
  for (const id of ["0123456789ab", "sha256:0123456789abcdef"]) {
    assert.is(
      failure(() => wrappedReference({ ...IMAGE, reference: id }, PODMAN)).message,
      "an image given by its id has no name to go by: say one with -t NAME:TAG",
    );
  }
});

test("the command to try is one that works", () => {
  const reference = { name: "localhost/web", tag: "1" };
  assert.is(
    trial(PODMAN, { ...IMAGE, ports: ["53/udp", "443/tcp"] }, reference, 443),
    "podman run --rm --sysctl net.ipv4.ip_unprivileged_port_start=443 -p 8443:443 localhost/web:1",
  );
  assert.is(
    trial(PODMAN, { ...IMAGE, ports: [] }, reference, 0),
    "podman run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 -p 8080:80 localhost/web:1",
  );
  assert.is(
    trial(DOCKER, { ...IMAGE, entrypoint: [], command: [], ports: ["3000/tcp"] }, reference),
    "docker run --rm -p 3000:3000 localhost/web:1 COMMAND",
  );
});

test("a context's bytes do not depend on who packs it or when", async () => {
  const file = (path: string) => ({ path, content: Buffer.from(path), executable: path === "a/b" });
  const paths = ["b", "a/b", "ä/naïve 文.txt", "a.b"];
  const [there, back] = await Promise.all(
    [paths, paths.toReversed()].map((order) => buffer(packContext(order.map(file)))),
  );
  assert.ok(there?.equals(back as Buffer));
  const listing = spawnSync("tar", ["--list", "--verbose", "--full-time", "--utc", "--numeric-owner"], {
    input: there,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  const lines = listing.stdout.trimEnd().split("\n");
  assert.equal(
    lines.map((line) => line.replace(/ +/g, " ")),
    [
      "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 a/",
      "-rw-r--r-- 0/0 3 1970-01-01 00:00:00 a.b",
      "-rwxr-xr-x 0/0 3 1970-01-01 00:00:00 a/b",
      "-rw-r--r-- 0/0 1 1970-01-01 00:00:00 b",
      "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 ä/",
      "-rw-r--r-- 0/0 17 1970-01-01 00:00:00 ä/naïve 文.txt",
    ],
  );
});

test("files that cannot be packed are named", () => {
  const folder = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.of(0xe9)]), "");
    const { code, message } = failure(() => folderFiles(folder));
    assert.equal(
      [code, message],
      ["bad-context", `the files for the build cannot be packed: the name of ${folder}/caf� is not UTF-8`],
    );
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    spawnSync("mkfifo", [join(folder, "pipe")]);
    assert.match(failure(() => folderFiles(folder)).message, `${folder}/pipe is neither a file nor a folder`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("each recipe has a folder with a Containerfile", () => {
  for (const recipe of RECIPES) {
    assert.ok(
      recipe.files({ system: "linux", architecture: "amd64" }).some(({ path }) => path === "Containerfile"),
      recipe.name,
    );
  }
});

test("no engine: the sockets that were tried, and how to start one", () => {
  assert.equal(images(["check", "web"]), {
    status: 1,
    stdout: "",
    stderr:
      "portshim-images: no container engine answers (unix:///nonexistent/socket: no such file or directory). " +
      "Start podman's: systemctl --user start podman.socket\n",
  });
  const { stderr } = images(["check", "web"], { DOCKER_HOST: "", CONTAINER_HOST: "unix:///nonexistent/other" });
  assert.match(stderr, "(unix:///nonexistent/other: no such file or directory)");
  const { stderr: asked } = images(["check", "--host=tcp://127.0.0.1:1", "web"]);
  assert.match(asked, "(tcp://127.0.0.1:1: connection refused)");
});

for (const [what, answer, said] of [
  ["what answers is no engine", "SSH-2.0-OpenSSH_9.2\r\n", /^Parse Error: Expected HTTP/],
  ["what answers is another server", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", /^\(HTTP code 404\) /],
  ["nothing answers", undefined, /^no answer in 5 seconds$/],
] as const) {
  test(what, async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.on("error", () => {}));
      if (answer !== undefined) socket.end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const address = `tcp://127.0.0.1:${port}`;
    const error = await connect(address, {}, new AbortController().signal).catch((reason) => reason);
    server.close();
    for (const socket of sockets) socket.destroy();
    assert.is(error.code, "no-engine");
    assert.match(error.message.replace(`no container engine answers (${address}: `, "").replace(/\)$/, ""), said);
  });
}

test("an engine that goes away: how to start it again", () => {
  const said = ({ message, remedy }: ImagesError) => `${message}. ${remedy}`;
  assert.is(
    said(gone(PODMAN, "build web:1", { errno: -104 })),
    "the engine went away before it could build web:1 (connection reset by peer). " +
      "Start podman's: systemctl --user start podman.socket",
  );
  assert.is(
    said(gone(DOCKER, "build web:1")),
    "the engine went away before it could build web:1. Start it again: sudo systemctl start docker",
  );
});

for (const [argv, sentence] of [
  [["frobnicate"], 'unknown command "frobnicate"; known: wrap, build, check.'],
  [["wrap"], "write portshim-images wrap IMAGE [-t NAME:TAG] [--start N] [--user USER[:GROUP]]."],
  [["check", "a", "b"], "write portshim-images check IMAGE [--json]."],
  [["check", "--frob", "web"], "Unknown option '--frob'; see portshim-images --help."],
  [["--frob"], 'unknown command "--frob"; known: wrap, build, check.'],
  [["wrap", "web", "--start"], "Option '--start <value>' argument missing; see portshim-images --help."],
  [
    ["check", "--host=ssh://me@there", "web"],
    '--host must be unix:///PATH or tcp://HOST:PORT, not "ssh://me@there". For another machine\'s engine, bring its ' +
      "socket here: ssh -nNT -L /tmp/engine.sock:/run/podman/podman.sock HOST",
  ],
] as const) {
  test(`bad usage: ${argv.join(" ")}`, () => {
    assert.equal(images(argv), { status: 2, stdout: "", stderr: `portshim-images: ${sentence}\n` });
  });
}

test("--help and --version", () => {
  for (const argv of [["--help"], ["-h"], [], ["wrap", "--help"]]) {
    const { status, stdout, stderr } = images(argv);
    assert.equal([status, stderr], [0, ""]);
    assert.match(stdout, "Usage: portshim-images COMMAND [options]");
  }
  assert.is(images(["--version"]).stdout, `${manifest("images").version}\n`);
});

test("it depends on the portshim of its own workspace", () => {
  assert.is(manifest("images").dependencies.portshim, manifest("shim").version);
});

test("what npm packs holds the command, the recipes, the manual, and no types", () => {
  const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--json"], { cwd: join(ROOT, "images"), encoding: "utf8" });
  const packed = JSON.parse(stdout);
  const { files } = Array.isArray(packed) ? packed[0] : packed["portshim-images"];
  const paths: string[] = files.map(({ path }: { path: string }) => path);
  for (const path of [
    "portshim-images",
    "lib/main.js",
    "recipes/node/server.js",
    "LICENSE",
    ...manifest("images").man,
  ]) {
    assert.ok(paths.includes(path), path);
  }
  assert.not(paths.some((path) => /\.(ts|tsbuildinfo)$/.test(path)));
});

test.run();
built.run();
