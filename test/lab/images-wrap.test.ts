import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as assert from "uvu/assert";
import { ELF_AARCH64, elfMachine } from "../elf.js";
import { ROOT } from "../need.js";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { contextFile, type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, startLab } from "./lab.js";
import { NAME } from "./start.js";

const test = suite("portshim-images wrap and check", "lab", "nodes", "qemu");

const PORT = 8080;
/** Says how it was started, and ends with a status of its own on its stop signal. */
const SERVER = contextFile(
  "server.js",
  `const { createServer } = require("http");
  const { cwd, getuid, argv, pid, env: { GREETING } } = process;
  const answer = JSON.stringify({ uid: getuid(), cwd: cwd(), argv: argv.slice(1), pid, GREETING });
  createServer((_, response) => response.end(answer)).listen(80);
  process.on("SIGQUIT", () => process.exit(7));`,
);
/** An archive of nothing. */
const EMPTY = Buffer.alloc(1024);
const WITH_SERVER = `FROM ${NODE_IMAGE}\nCOPY server.js /srv/server.js\nUSER 1000\nWORKDIR /srv\nENV GREETING="hello you"\n`;

let lab: Lab;
let engine: Engine;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
});
test.after(() => lab.stop());

/**
 * Runs an image until its server answers on port 80, stops it, and gives its answer, its status and the time to stop.
 */
async function serve(image: string, start = "80") {
  const container = await engine.docker.createContainer({
    Image: image,
    ExposedPorts: { "80/tcp": {} },
    HostConfig: { Sysctls: { [NAME]: start }, PortBindings: { "80/tcp": [{ HostPort: `${PORT}` }] } },
  });
  await container.start();
  const answer = await answers(async () => JSON.parse((await lab.fetch(PORT)).body));
  const asked = Date.now();
  await container.stop({ t: 10 });
  const took = Date.now() - asked;
  const { StatusCode } = await container.wait();
  await container.remove();
  return { answer, status: StatusCode, took };
}

async function answers<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (tries === 50) throw error;
      await sleep(100);
    }
  }
}

async function config(image: string) {
  const { Config } = await engine.docker.getImage(image).inspect();
  const { Labels, Entrypoint, ...rest } = Config;
  const { "io.buildah.version": _, ...labels } = Labels;
  return { entrypoint: Entrypoint, labels, rest };
}

/** What docker's API leaves out. */
async function healthcheck(image: string): Promise<string> {
  return (await lab.asUser(["podman", "image", "inspect", "--format", "{{json .HealthCheck}}", image])).stdout;
}

for (const [kind, instructions, entrypoint] of [
  ["exec form, and a CMD", 'ENTRYPOINT ["node", "/srv/server.js"]\nCMD ["a b", "$c"]', ["node", "/srv/server.js"]],
  ["shell form", "ENTRYPOINT exec node server.js $GREETING", ["/bin/sh", "-c", "exec node server.js $GREETING"]],
  ["CMD alone", 'CMD ["node", "server.js"]', []],
] as const) {
  test(`${kind}: it serves on port 80 as before, and stops at once, with its status`, async () => {
    const image = `localhost/${kind.split(/\W/)[0]?.toLowerCase()}:1`;
    await engine.build(image, `${WITH_SERVER}STOPSIGNAL SIGQUIT\n${instructions}\n`, [SERVER]);
    const { status, stdout } = await engine.images(["wrap", image]);
    assert.is(status, 0);
    const wrapped = `${image}-portshim`;
    assert.equal((await config(wrapped)).entrypoint, ["portshim", "--", ...entrypoint]);
    assert.match(stdout, `Try it:\n    podman run --rm --sysctl ${NAME}=80 -p 8080:80 ${wrapped}\n`);
    const before = await serve(image);
    const after = await serve(wrapped);
    assert.equal(after.answer, before.answer);
    assert.equal([before.status, after.status], [7, 7]);
    assert.ok(after.took < 3000, `${after.took} ms`);
  });
}

test("everything else of the image stays, whatever it holds", async () => {
  // What a Containerfile, a shell or JSON might take for their own.
  const words = ["$HOME", `\${PATH}`, "a\nFROM scratch", "#", "\\", "'\"`id`", "ü\u2028文", "--", "-x", "", "]"];
  const odd = `FROM ${NODE_IMAGE}
USER 1000:1000
WORKDIR /srv/a b
ENV A="x=y \\$z" PORTSHIM_QUIET=1 PORTSHIM_START=80
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=7s CMD node -e 0
LABEL "a b"="c 'd' \\"e\\" \\\\" empty="" "com.example/ü"="#"
ENTRYPOINT ${JSON.stringify(["node", "-p", "JSON.stringify(process.argv)", "--", ...words])}
CMD ${JSON.stringify(words)}
`;
  await engine.build("localhost/odd:1", odd);
  assert.is((await engine.images(["wrap", "localhost/odd:1", "-t", "odd:2"])).status, 0);
  const before = await config("localhost/odd:1");
  const after = await config("localhost/odd:2");
  assert.equal(after.entrypoint, ["portshim", "--", ...(before.entrypoint as string[])]);
  assert.equal([after.labels, after.rest], [before.labels, before.rest]);
  assert.is(await healthcheck("localhost/odd:2"), await healthcheck("localhost/odd:1"));
  assert.match(await healthcheck("localhost/odd:2"), "7000000000");
  const run = (image: string) => lab.asUser(["podman", "run", "--rm", "--sysctl", `${NAME}=80`, image]);
  const { stdout } = await run("localhost/odd:1");
  assert.equal(JSON.parse(stdout).slice(1), [...words, ...words]);
  assert.is((await run("localhost/odd:2")).stdout, stdout);
});

test("the folders that portshim is put into keep their modes, and what is put is root's", async () => {
  const base = `FROM ${NODE_IMAGE}\nRUN chmod 2775 /usr/local/bin /usr/local/lib\nUSER 1000\nCMD ["node"]\n`;
  await engine.build("localhost/modes:1", base);
  assert.is((await engine.images(["wrap", "localhost/modes:1"])).status, 0);
  const paths = ["bin", "lib", "lib/portshim", "bin/portshim", "lib/portshim/main.js"].map(
    (path) => `/usr/local/${path}`,
  );
  const argv = ["podman", "run", "--rm", "--entrypoint", "stat", "localhost/modes:1-portshim", "-c", "%a %U", ...paths];
  assert.is((await lab.asUser(argv)).stdout, "2775 root\n2775 root\n755 root\n755 root\n644 root\n");
});

test("--user: the image starts as root, and its server as that user, on port 80 without any setting", async () => {
  await engine.build(
    "localhost/www:1",
    `${WITH_SERVER}USER root\nRUN useradd --uid 1234 www\nUSER www\nSTOPSIGNAL SIGQUIT\nCMD ["node", "server.js"]\n`,
    [SERVER],
  );
  const { stdout } = await engine.images(["wrap", "localhost/www:1", "--user=www"]);
  const { entrypoint, rest } = await config("localhost/www:1-portshim");
  assert.equal([entrypoint, rest.User], [["portshim", "--user=www", "--"], "0"]);
  assert.match(stdout, "It starts as root now, and no longer as www: portshim becomes www.\n");
  const { answer, status } = await serve("localhost/www:1-portshim", "1024");
  assert.equal([answer.uid, answer.pid, answer.cwd, status], [1234, 1, "/srv", 7]);

  const nobody = await engine.images(["wrap", "localhost/www:1", "--user=ftp"]);
  assert.equal(
    [nobody.status, nobody.stderr],
    [1, "portshim-images: localhost/www:1 has no user ftp. Give one of its own, or a number.\n"],
  );
  const more = await engine.images(["wrap", "localhost/www:1", "--user=4000", "--start", "443", "-t", "www:2"]);
  assert.match(
    more.stdout,
    `localhost/www:2 starts this:\n    ["portshim","--start=443","--user=4000","--","node","server.js"]\n`,
  );
  assert.match(more.stdout, `--sysctl ${NAME}=443 -p 8443:443 localhost/www:2\n`);
});

test("an image that is wrapped already stays as it is, and is said", async () => {
  const before = await engine.holdings();
  const run = await engine.images(["wrap", "localhost/exec:1-portshim", "-t", "localhost/again:1"]);
  assert.equal(run, {
    status: 0,
    signal: null,
    stdout:
      "localhost/exec:1-portshim starts portshim already: nothing to do.\n" +
      '    ["portshim","--","node","/srv/server.js","a b","$c"]\n',
    stderr: "",
  });
  assert.equal(await engine.holdings(), before);
});

test("without Node.js: as before, and the person is told", async () => {
  const none = await engine.images(["wrap", "localhost/portshim-lab/base:1", "-t", "none:1"]);
  assert.is(none.status, 0);
  assert.match(none.stdout, "It has no Node.js, so portshim in it cannot ask the host.");
  // At 1024, which podman's containers start with.
  const run = await lab.asUser(["podman", "run", "--rm", "localhost/none:1", "echo", "started"]);
  assert.equal([run.status, run.stdout], [0, "started\n"]);
  assert.match(run.stderr, /^portshim: cannot run Node\.js 20 or later, which is needed here/);
  assert.match(run.stderr, /\nportshim: starting the command anyway \(--optional\)\n$/);
});

test("an image that is one static program: portshim needs no shell, no library and no folder in it", async () => {
  await engine.build(
    "localhost/bare:1",
    `FROM localhost/portshim-lab/base:1 AS base
RUN cp /bin/busybox /busybox
FROM scratch
COPY --from=base /busybox /
ENTRYPOINT ["/busybox", "echo"]
`,
  );
  const { status, stdout } = await engine.images(["wrap", "localhost/bare:1"]);
  assert.is(status, 0);
  assert.match(
    stdout,
    '["portshim","--optional","--","/busybox","echo"]\nIt has no Node.js, so portshim in it cannot ',
  );
  const run = (...options: string[]) =>
    lab.asUser(["podman", "run", "--rm", ...options, "localhost/bare:1-portshim", "started"]);
  assert.equal(await run(`--sysctl=${NAME}=80`), { status: 0, signal: null, stdout: "started\n", stderr: "" });
  const unsatisfied = await run();
  assert.equal([unsatisfied.status, unsatisfied.stdout], [0, "started\n"]);
  assert.match(unsatisfied.stderr, /^portshim: cannot run Node\.js 20 or later, which is needed here/);

  const dropped = await engine.images(["wrap", "localhost/bare:1", "--user=1000"]);
  assert.equal(
    [dropped.status, dropped.stderr],
    [
      1,
      "portshim-images: localhost/bare:1 has no Node.js, which portshim needs to become another user. " +
        "Either install Node.js 20 or later, or omit --user.\n",
    ],
  );
});

test("a Node.js that is too old, or does not start, is detected by running it", async () => {
  // Marked fake: Node 18, of which no package is available here.
  const old = { path: "node", content: Buffer.from("#!/bin/sh\necho v18.20.4\n"), executable: true };
  const broken = { ...old, content: Buffer.from("\x7fELF") };
  for (const [file, said] of [
    [old, "only Node.js v18.20.4 (/usr/local/bin/node)"],
    [broken, "a Node.js that does not start on this machine (/usr/local/bin/node)"],
  ] as const) {
    await engine.build("localhost/old:1", "FROM localhost/portshim-lab/base:1\nCOPY node /usr/local/bin/node\n", [
      file,
    ]);
    const run = await engine.images(["wrap", "localhost/old:1", "--user=1000"]);
    assert.match(run.stderr, `localhost/old:1 has ${said}, which portshim needs to become another user.`);
  }
});

test("distroless: a Node.js off the PATH is none to portshim, and on it is enough, without a shell", async () => {
  const containerfile = `FROM ${NODE_IMAGE} AS node
RUN mkdir -p /out/nodejs/bin /out/lib64 /out/lib/x86_64-linux-gnu /out/srv \
  && cp /usr/local/bin/node /out/nodejs/bin/ && cp -L /lib64/ld-linux-x86-64.so.2 /out/lib64/ \
  && ldd /usr/local/bin/node | awk '$3 ~ /^\\// { print $3 }' | xargs cp -L -t /out/lib/x86_64-linux-gnu
FROM scratch
COPY --from=node /out /
COPY server.js /srv/
WORKDIR /srv
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/nodejs/bin/node"]
CMD ["server.js"]
`;
  await engine.build("localhost/distroless:1", containerfile, [SERVER]);
  const off = await engine.images(["wrap", "localhost/distroless:1"]);
  assert.is(off.status, 0);
  assert.match(off.stdout, "It has no Node.js on its PATH (only /nodejs/bin/node), so portshim in it cannot ask ");
  assert.match(off.stdout, " To have it ask: put /nodejs/bin on its PATH.\n");
  const { entrypoint } = await config("localhost/distroless:1-portshim");
  assert.equal(entrypoint, ["portshim", "--optional", "--", "/nodejs/bin/node"]);
  const before = await serve("localhost/distroless:1");
  const after = await serve("localhost/distroless:1-portshim");
  assert.equal([after.answer, after.status], [before.answer, 7]);

  await engine.build("localhost/distroless:2", "FROM localhost/distroless:1\nENV PATH=/nodejs/bin:/usr/local/bin\n");
  const on = await engine.images(["wrap", "localhost/distroless:2", "--user=1000"]);
  assert.match(on.stdout, '\n    ["portshim","--user=1000","--","/nodejs/bin/node","server.js"]\nTry it:');
  const { answer, status } = await serve("localhost/distroless:2-portshim", "1024");
  assert.equal([answer.uid, answer.pid, status], [1000, 1, 7]);
});

/** An empty image for another machine. */
async function foreign(architecture: string): Promise<string> {
  const image = `localhost/${architecture}:1`;
  const change = ["--change", 'ENTRYPOINT ["/server"]'];
  const argv = ["podman", "import", `--arch=${architecture}`, ...change, "-", image];
  assert.is((await lab.asUser(argv, { input: EMPTY })).status, 0);
  return image;
}

test("an image for arm64 gets the launcher for arm64, and what it gains is 200 kB at most", async () => {
  execFileSync(join(ROOT, "shim", "launcher", "build.sh"), ["aarch64"]);
  const { status, stderr } = await engine.images(["wrap", await foreign("arm64")]);
  assert.is(status, 0, stderr);
  const wrapped = "localhost/arm64:1-portshim";
  assert.is((await engine.docker.getImage(wrapped).inspect()).Architecture, "arm64");
  const contents = await engine.contents(wrapped);
  assert.is(elfMachine(contents.get("usr/local/bin/portshim")?.content as Buffer), ELF_AARCH64);
  const gained = [...contents.values()].reduce((sum, { content }) => sum + content.length, 0);
  assert.ok(gained <= 200_000, `${gained} bytes`);
});

test("an image for a machine without a launcher is rejected", async () => {
  const image = await foreign("riscv64");
  const sentence = "there is no portshim for linux/riscv64, only for linux/amd64 and linux/arm64";
  const { status, stderr } = await engine.images(["wrap", image]);
  assert.equal([status, stderr], [1, `portshim-images: ${sentence}.\n`]);
  assert.match((await engine.images(["check", image])).stdout, `It cannot be wrapped: ${sentence}.\n`);
});

test("a base image with ONBUILD is rejected, and nothing of these instructions is kept", async () => {
  await engine.build("localhost/onbuild:1", `FROM ${NODE_IMAGE}\nONBUILD RUN touch /done\nCMD ["node"]\n`);
  const before = await engine.holdings();
  const { status, stderr } = await engine.images(["wrap", "localhost/onbuild:1"]);
  assert.is(status, 1);
  assert.match(
    stderr,
    "portshim-images: localhost/onbuild:1 is a base image: it has ONBUILD instructions, which would run now. " +
      "Build your image on it, and wrap that.\n",
  );
  assert.equal(await settled(before), before);
});

test("an image for another system is rejected", async () => {
  const argv = ["podman", "import", "--os=windows", "-", "localhost/windows:1"];
  assert.is((await lab.asUser(argv, { input: EMPTY })).status, 0);
  const { status, stderr } = await engine.images(["wrap", "localhost/windows:1"]);
  assert.equal(
    [status, stderr],
    [1, "portshim-images: there is no portshim for windows/amd64, only for linux/amd64 and linux/arm64.\n"],
  );
});

test("no such image", async () => {
  for (const command of ["wrap", "check"]) {
    const { status, stderr } = await engine.images([command, "localhost/nothing:1"]);
    assert.equal(
      [status, stderr],
      [
        1,
        "portshim-images: there is no image localhost/nothing:1 here. Fetch it first: podman pull localhost/nothing:1\n",
      ],
    );
  }
});

test("bad options of wrap are named", async () => {
  for (const [option, sentence] of [
    ["--start=1025", '--start must be an integer from 0 to 1024, not "1025"'],
    ["--start=", "--start needs a value"],
    ["--user=a b", '--user must be USER or USER:GROUP, names or numbers, not "a b"'],
    ["--user=-x", '--user must be USER or USER:GROUP, names or numbers, not "-x"'],
    ["--tag=A", '"A" cannot be the name of an image: write NAME or NAME:TAG'],
  ]) {
    const { status, stderr } = await engine.images(["wrap", "localhost/exec:1", option as string]);
    assert.equal([status, stderr], [2, `portshim-images: ${sentence}.\n`]);
  }
});

test("check tells what happens when an image runs", async () => {
  const dropIn = (path: string, line: string) =>
    `RUN mkdir -p ${path.replace(/\/[^/]*$/, "")} && echo '${line}' >${path}`;
  const base = `FROM ${NODE_IMAGE}
${dropIn("/usr/lib/sysctl.d/80-web.conf", `${NAME}=22`)}
${dropIn("/etc/sysctl.d/80-web.conf", `# ours\\n${NAME} = 443`)}
${dropIn("/etc/sysctl.d/50-more.conf", `${NAME} = many`)}
${dropIn("/srv/linked.conf", "vm.swappiness=1")}
RUN ln -s /srv/linked.conf /etc/sysctl.d/60-linked.conf && ln -s /dev/null /etc/sysctl.d/99-protect-links.conf
EXPOSE 443
USER 1000
CMD ["node", "server.js"]
`;
  await engine.build("localhost/checked:1", base);
  const { status, stdout } = await engine.images(["check", "localhost/checked:1"]);
  assert.is(status, 0);
  assert.is(
    stdout.replace(/\([0-9a-f]{12}\)/, "(ID)"),
    `localhost/checked:1 (ID)
  entrypoint  none
  command     ["node","server.js"]
  user        1000
  ports       443/tcp
  Node.js     v26.10.0 (/usr/local/bin/node)
  sysctl.d    /etc/sysctl.d/50-more.conf:1 sets "many", which is invalid
              /etc/sysctl.d/60-linked.conf: nothing about ports
              /etc/sysctl.d/80-web.conf:2 sets 443
              /etc/sysctl.d/99-protect-links.conf: nothing about ports
              /usr/lib/sysctl.d/80-web.conf: masked by /etc/sysctl.d/80-web.conf
It starts without portshim. To have portshim in it: portshim-images wrap localhost/checked:1
`,
  );
  const wrapped = await engine.images(["wrap", "localhost/checked:1"]);
  assert.match(wrapped.stdout, `--sysctl ${NAME}=443 -p 8443:443 `);
  const json = JSON.parse((await engine.images(["check", "--json", "localhost/checked:1-portshim"])).stdout);
  assert.equal(json, {
    image: "localhost/checked:1-portshim",
    id: json.id,
    entrypoint: ["portshim", "--"],
    command: ["node", "server.js"],
    user: "1000",
    ports: ["443/tcp"],
    wrapped: true,
    toolbox: false,
    node: { path: "/usr/local/bin/node", version: "v26.10.0", onPath: true },
    sysctl: json.sysctl,
    start: 443,
    verdict: "portshim, as 1000, makes sure that ports 443 and up can be bound, then becomes what the image starts.",
  });
  assert.equal(json.sysctl[2], { file: "/etc/sysctl.d/80-web.conf", maskedBy: null, line: 2, value: 443 });
});

test("check's other verdicts", async () => {
  const verdict = async (image: string) => (await engine.images(["check", image])).stdout.split("\n").slice(-2)[0];
  assert.is(
    await verdict("localhost/portshim-lab/toolbox:1"),
    "It starts without portshim. This is a toolbox image, which toolbox starts in its own way; in it, run portshim -- COMMAND.",
  );
  const sees = (ports: string) =>
    `portshim, as root, makes sure that ports ${ports} can be bound, then becomes what the image starts.`;
  const anyones = sees("80 and up (or from the port that the host's files set)");
  const asks = "if these ports need privileges when it starts, it cannot ask the host, and";
  assert.is(
    await verdict("localhost/none:1"),
    `${anyones} But it has no Node.js: ${asks} says so and starts it anyway (--optional).`,
  );
  assert.is(
    await verdict("localhost/bare:1"),
    "It has no Node.js, so portshim in it cannot ask the host. If the server's port needs a privilege when it starts, " +
      "portshim says so, and starts the server anyway (--optional). To have it ask: install Node.js 20 or later.",
  );
  for (const [number, options, sentence] of [
    [1, '"--start=443"', `${sees("443 and up")} But it has no Node.js: ${asks} exits with status 69.`],
    [
      2,
      '"--optional", "--user=1000"',
      `${anyones} But it has no Node.js, which --user needs: it exits with status 69.`,
    ],
  ] as const) {
    const image = `localhost/predicted:${number}`;
    const entrypoint = `["portshim", ${options}, "--", "/busybox", "echo", "started"]`;
    await engine.build(image, `FROM localhost/bare:1-portshim\nENTRYPOINT ${entrypoint}\n`);
    assert.is(await verdict(image), sentence);
    const run = await lab.asUser(["podman", "run", "--rm", image]);
    assert.equal([run.status, run.stdout], [69, ""]);
  }
});

test("README: wrap an image, and the command that tries it", async () => {
  const server = 'require("http").createServer((_, response) => response.end("wrapped")).listen(80)';
  const containerfile = `FROM ${NODE_IMAGE}\nCOPY server.js .\nUSER 1000\nCMD ["node", "server.js"]\n`;
  await engine.build("localhost/web:1", containerfile, [contextFile("server.js", server)]);
  const [command = "", ...shown] = codeOf("README.md", "$ npx portshim-images wrap web:1").split("\n");
  // On this machine, with the lab's podman: its host has no npm.
  const env = { ...process.env, DOCKER_HOST: `unix://${lab.root}${engine.socket}`, npm_config_offline: "true" };
  const argv = ["-c", command.replace("$ ", "")];
  const { stdout } = await promisify(execFile)("sh", argv, { cwd: ROOT, env });
  assert.is(stdout, shown.join("\n"));

  const [, run = ""] = /Try it:\n +(.*)\n$/.exec(stdout) ?? [];
  const container = await lab.spawn("user", run.split(" "));
  assert.is(await answers(async () => (await lab.fetch(PORT)).body), "wrapped");
  await lab.asUser(["podman", "stop", "--time=0", "--filter=ancestor=localhost/web:1-portshim"]);
  await container.exited;
});

test("images/README.md: its three commands", async () => {
  const commands = codeOf("images/README.md", "portshim-images wrap web:1 ").trimEnd().split("\n");
  for (const command of commands) {
    const [, ...argv] = command.replace(/ {2}.*/, "").split(" ");
    const run = await engine.images(argv, { timeout: 60_000 });
    assert.equal([run.status, run.stdout === ""], [0, false], `${argv}: ${run.stderr}`);
  }
  assert.is(commands.length, 3);
});

test("from inside a toolbox the same engine answers", async () => {
  const inside = `/run/host${lab.repository}`;
  const command = [`/run/host${lab.nodes}/node26/bin/node`, `${inside}/images/portshim-images`];
  const { status, stdout } = await lab.inToolbox([...command, "check", "localhost/exec:1-portshim"]);
  assert.is(status, 0);
  assert.match(stdout, 'entrypoint  ["portshim","--","node","/srv/server.js"]');
  const none = await lab.inToolbox([...command, "check", "web"], { env: { DOCKER_HOST: "unix:///nonexistent" } });
  assert.match(none.stderr, "Start podman's, on the host: systemctl --user start podman.socket\n");
});

test("the usual sockets are tried in turn, and one without an engine is skipped", async () => {
  await engine.kill();
  const { status, stderr } = await engine.images(["check", "localhost/exec:1"]);
  await engine.start();
  assert.equal(
    [status, stderr],
    [
      1,
      `portshim-images: no container engine answers (unix://${engine.socket}: connection refused; ` +
        "unix:///run/podman/podman.sock: permission denied; " +
        "unix:///var/run/docker.sock: no such file or directory). Start podman's: systemctl --user start podman.socket\n",
    ],
  );
});

/** What the engine holds once it has cleaned up after a build that was stopped. */
async function settled(expected: readonly string[]): Promise<string[]> {
  let holdings = await engine.holdings();
  for (let tries = 0; tries < 50 && holdings.join() !== expected.join(); tries++) {
    await sleep(100);
    holdings = await engine.holdings();
  }
  return holdings;
}

test.run();
