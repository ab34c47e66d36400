import { readFileSync } from "node:fs";
import { machine } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { type Block, blocks, headings } from "../page.js";
import { suite } from "../suite.js";
import { type Lab, type Result, type Running, startLab } from "./lab.js";
import { answer, askedDuring, BASE, NAME, saveImages } from "./start.js";

const test = suite("examples/README.md", "lab", "nodes");

const PAGE = readFileSync(join(ROOT, "examples", "README.md"), "utf8");
const BLOCKS = blocks(PAGE);

const ASKED = `/usr/sbin/sysctl -w ${NAME}=80`;
/** What the images are built on. */
const [, NODE = ""] = /^FROM (\S+)/.exec(readFileSync(join(ROOT, "examples", "node", "Containerfile"), "utf8")) ?? [];

const run = new Set<Block>();

/** A test of a section of the page, which is given the section's commands, block by block. */
function section(heading: string, work: (...commands: string[]) => Promise<void>): void {
  test(heading, () => {
    const own = BLOCKS.filter((block) => block.section === heading && block.language === "sh");
    assert.ok(own.length > 0);
    for (const block of own) run.add(block);
    return work(...own.map(({ text }) => text));
  });
}

let lab: Lab;
let checkout: string;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.polkit("YES");
  // A checkout of the user's own: nginx writes there.
  checkout = `/home/${lab.user}/checkout`;
  await user(`mkdir ${checkout}; cp -r ${lab.repository}/examples ${checkout}`, `/home/${lab.user}`);
  // Stands in for the one that would have to be pulled: a Debian with Node.
  await build(NODE, `${lab.nodes}/node26/bin`, `FROM ${BASE}\nCOPY node /usr/local/bin/\n`);
  // portshim's image without its compiler; test/lab/images-containerfile.test.ts builds it as README says.
  const launcher = `COPY launcher/portshim-${machine()} /usr/local/bin/portshim`;
  await build("portshim", `${lab.repository}/shim`, `FROM scratch\n${launcher}\nCOPY lib /usr/local/lib/portshim\n`);
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));

const must = (script: string) => (result: Result) => {
  assert.is(result.status, 0, `${script}: ${result.stdout}${result.stderr}`);
  return result.stdout;
};
/** Runs commands, which must succeed, as the ordinary user on the host, in the checkout. */
const user = (script: string, cwd = checkout) =>
  lab.asUser(["bash", "-ec", script], { timeout: 60_000, cwd }).then(must(script));
/** The same as root. */
const host = (script: string) =>
  lab.asHost(["bash", "-ec", script], { timeout: 60_000, cwd: checkout }).then(must(script));

/** Builds an image of podman's for the tests, of files in a folder. */
const build = (tag: string, folder: string, containerfile: string) =>
  user(`podman build --quiet --tag ${tag} --file - ${folder} <<'END'\n${containerfile}END`);

/** What polkit is asked while `work` runs. */
const asked = (work: () => Promise<unknown>) => askedDuring(lab, work);

section("Node in a container", async (start, stop) => {
  await user(start);
  assert.is(await answer(lab, 8080), "Hello from Node\n");
  assert.is(await user("podman exec web id -u"), "1000\n");
  // podman waits ten seconds for one that ignores TERM.
  const from = Date.now();
  await user(stop);
  assert.ok(Date.now() - from < 5000, `${Date.now() - from} ms`);
  const without = await lab.asUser(["podman", "run", "--rm", "web:1"]);
  assert.is(without.status, 69);
  assert.match(without.stderr, `podman run --sysctl ${NAME}=80`);
});

section("Node as a Quadlet unit", async (start, stop) => {
  // Else a Quadlet unit of the user's waits for it.
  await host("systemctl start network-online.target");
  const prompts = await asked(async () => {
    await user(start);
    assert.is(await answer(lab, 80), "Hello from Node\n");
  });
  assert.equal(prompts, [ASKED]);
  await user("podman healthcheck run systemd-web");
  assert.is(await user("podman exec systemd-web sh -c 'id -u; id -g'"), `${lab.uid}\n${lab.uid}\n`);
  await user(stop);
  const state = "systemctl --user show --property ActiveState,Result,ExecMainStatus web";
  const ended = await user(state);
  assert.equal(ended.trim().split("\n").sort(), ["ActiveState=inactive", "ExecMainStatus=0", "Result=success"]);
  // Refused: one prompt, and it is not started again.
  await lab.setThreshold(1024);
  await lab.polkit("NO");
  const refused = await asked(async () => {
    await user("systemctl --user start web");
    await user("for i in {1..100}; do systemctl --user is-failed --quiet web && exit; sleep 0.1; done; exit 1");
    // A restart would have happened by now.
    await sleep(500);
  });
  await lab.polkit("YES");
  assert.equal(refused, [ASKED]);
  assert.match(await user(state), "ExecMainStatus=77");
});

/** Starts, in the toolbox, what the commands end with. */
async function inToolbox(commands: string, cwd = checkout): Promise<Running> {
  const [last = "", ...others] = commands.trimEnd().split("\n").reverse();
  const script = [...others.reverse(), `exec ${last}`].join("\n");
  return lab.spawn("toolbox", ["bash", "-ec", script], { cwd });
}

for (const [heading, greeting, where] of [
  ["nginx in a toolbox", "Hello from nginx\n", () => checkout],
  ["Caddy in a toolbox", "Hello from Caddy\n", () => checkout],
  // With what npm install put there.
  ["A framework, by the library", "Hello from Hono\n", () => `/run/host${lab.repository}`],
] as const) {
  section(heading, async (commands) => {
    let server: Running | undefined;
    const prompts = await asked(async () => {
      server = await inToolbox(commands, where());
      await server.waitFor(/Done\. Any user can now bind ports 80 and up/);
      assert.is(await answer(lab, 80), greeting);
    });
    assert.equal(prompts, [ASKED]);
    assert.is(await host(`ps -o user= -p ${server?.pid}`), `${lab.user}\n`);
    await server?.kill();
    assert.is((await server?.exited)?.status, 0);
  });
}

section("Node in a compose file", async (...engines) => {
  // Last, because pasta may fail after docker has run.
  await user("systemctl --user start podman.socket");
  for (const [commands, command] of [
    [engines[0], user],
    [engines[1], docker],
  ] as const) {
    const [cd, up, down] = (commands ?? "").split("\n");
    await command(`${cd}\n${up}`);
    assert.is(await answer(lab, 8080), "Hello from Node\n");
    const threshold = `${up?.split(" up")[0]} exec -T web cat /proc/sys/net/ipv4/ip_unprivileged_port_start`;
    assert.match(await command(`${cd}\n${threshold}`), /^80$/m);
    await command(`${cd}\n${down}`);
  }
});

async function docker(script: string): Promise<string> {
  if (!(await host("systemctl is-active docker || true")).startsWith("active")) {
    const images = await saveImages(lab, "portshim", NODE);
    await host(`systemctl start docker; docker load --quiet --input ${images}; docker tag localhost/portshim portshim`);
  }
  return host(script);
}

test("every section and every block of the page was run", () => {
  assert.equal(
    headings(PAGE).filter((heading) => !BLOCKS.some((block) => block.section === heading && run.has(block))),
    [],
  );
  assert.equal(
    BLOCKS.filter((block) => !run.has(block)),
    [],
  );
});

test.run();
