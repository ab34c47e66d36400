import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { droppingChain, findFirewall } from "../../shim/lib/host/firewall.js";
import { inPodman, inToolbox } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("firewall");

/** A toolbox that sees a host with these files. */
async function hostWith(files: Record<string, string>, ports = [80], network: "hosts" | "own" = "hosts") {
  const root = mkdtempSync(join(tmpdir(), "portshim-firewall-"));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  const { place } = inToolbox();
  const found = await findFirewall(inToolbox({ place: { ...place, hostRoot: root }, network }), ports);
  rmSync(root, { recursive: true });
  return found;
}

// test/lab/services.test.ts has a real one.
const FIREWALLD = { "sys/fs/cgroup/system.slice/firewalld.service/cgroup.procs": "" };

test("firewalld, by its cgroup, which exists while it runs", async () => {
  const [one, two] = [await hostWith(FIREWALLD), await hostWith(FIREWALLD, [80, 443])];
  assert.equal([one?.name, two?.name], ["firewalld", "firewalld"]);
  assert.is(one?.remedy, "sudo firewall-cmd --permanent --add-port=80/tcp && sudo firewall-cmd --reload");
  const both = "--add-port=80/tcp --add-port=443/tcp";
  assert.is(two?.remedy, `sudo firewall-cmd --permanent ${both} && sudo firewall-cmd --reload`);
});

test("ufw, by its file", async () => {
  for (const text of ["ENABLED=yes\n", "# it is\nLOGLEVEL=low\nENABLED=YES\n", 'ENABLED="yes"\n'])
    assert.is((await hostWith({ "etc/ufw/ufw.conf": text }))?.remedy, "sudo ufw allow 80/tcp");
  const both = await hostWith({ "etc/ufw/ufw.conf": "ENABLED=yes\n" }, [80, 443]);
  assert.equal([both?.name, both?.remedy], ["ufw", "sudo ufw allow 80,443/tcp"]);
  for (const text of ["ENABLED=no\n", "#ENABLED=yes\n", "ENABLED=yesterday\n", ""])
    assert.is(await hostWith({ "etc/ufw/ufw.conf": text }), undefined);
});

test("a FIFO in place of a file is no firewall, and does not block", async () => {
  const { place } = inToolbox();
  const root = mkdtempSync(join(tmpdir(), "portshim-firewall-"));
  mkdirSync(join(root, "etc/ufw"), { recursive: true });
  assert.is(spawnSync("mkfifo", [join(root, "etc/ufw/ufw.conf")]).status, 0);
  const found = await findFirewall(inToolbox({ place: { ...place, hostRoot: root } }), [80]);
  rmSync(root, { recursive: true });
  assert.is(found, undefined);
});

test("no firewall: nothing is said", async () => assert.is(await hostWith({}), undefined));

test("nothing is said if the network is not the host's, or its files are not visible", async () => {
  assert.is(await hostWith(FIREWALLD, [80], "own"), undefined);
  assert.is(await findFirewall(inPodman(), [80]), undefined);
});

const input = { chain: { family: "inet", table: "t", name: "in", hook: "input", policy: "drop" } };
const rule = (...expr: unknown[]) => ({ rule: { family: "inet", table: "t", chain: "in", expr } });
const port = (right: unknown, op = "==", protocol = "tcp") => ({
  match: { op, left: { payload: { protocol, field: "dport" } }, right },
});
const ACCEPT = { accept: null };

const cases: [name: string, ruleset: unknown[], drops: boolean][] = [
  ["nothing", [], false],
  ["a chain that drops", [input], true],
  ["a chain that accepts", [{ chain: { ...input.chain, policy: "accept" } }], false],
  ["a chain for what is sent on", [{ chain: { ...input.chain, hook: "forward" } }], false],
  ["the port is accepted", [input, rule(port(80), ACCEPT)], false],
  ["by a set", [input, rule(port({ set: [22, 80] }), ACCEPT)], false],
  ["by a range", [input, rule(port({ range: [1, 100] }), ACCEPT)], false],
  ["by a range in a set", [input, rule(port({ set: [22, { range: [80, 90] }] }), ACCEPT)], false],
  ["another port is accepted", [input, rule(port(22), ACCEPT)], true],
  ["a range that ends before it", [input, rule(port({ range: [1, 79] }), ACCEPT)], true],
  ["the port is dropped", [input, rule(port(80), { drop: null })], true],
  ["all but the port is accepted", [input, rule(port(80, "!="), ACCEPT)], true],
  ["by UDP alone", [input, rule(port(80, "==", "udp"), ACCEPT)], true],
  ["in another table", [input, { rule: { ...rule(port(80), ACCEPT).rule, table: "other" } }], true],
  [
    "accepted in a chain for what goes out",
    [
      input,
      { chain: { ...input.chain, name: "out", hook: "output", policy: "accept" } },
      { rule: { ...rule(port(80), ACCEPT).rule, chain: "out" } },
    ],
    true,
  ],
  [
    "accepted in a chain that may be jumped to",
    [
      input,
      { chain: { family: "inet", table: "t", name: "web" } },
      { rule: { ...rule(port(80), ACCEPT).rule, chain: "web" } },
    ],
    false,
  ],
  ["rules with nothing in them", [input, rule(port(null), ACCEPT), rule(port({ set: [null] }), ACCEPT), rule()], true],
  ["what is no ruleset", [null, 1, "x", {}, { chain: null }, { rule: {} }, { rule: null }], false],
];
for (const [name, ruleset, drops] of cases) {
  test(`nftables: ${name}`, () => assert.is(droppingChain(ruleset, 80) !== undefined, drops));
}

test.run();
