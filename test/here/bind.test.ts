import * as assert from "uvu/assert";
import { inNamespace, type Situation } from "../namespace.js";
import { node, ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("bind", "root", "nodes");

const LIBRARY = JSON.stringify(`${ROOT}/shim/lib/here/bind.js`);
const ask = (situation: Situation, first = "") =>
  inNamespace([node(26), "-e", `${first}require(${LIBRARY}).mayBind(80).then(console.log)`], situation).stdout;

const up = "ip link set lo up";
const withoutIpv6 = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
for (const [name, prepare] of [
  ["with IPv6", up],
  ["with IPv6 switched off", `${up}; ${withoutIpv6}`],
  ["without a network", ":"],
] as const) {
  test(`${name}: root can, an ordinary user cannot at 1024, and can at 80`, () => {
    assert.is(ask({ threshold: 1024, prepare }), "true\n");
    assert.is(ask({ threshold: 1024, prepare, ordinary: true }), "false\n");
    assert.is(ask({ threshold: 80, prepare, ordinary: true }), "true\n");
  });
}

test("asking does not disturb a server on the port, and leaves a free port free", () => {
  const taken = 'const s = require("net").createServer().listen(80); s.unref(); ';
  assert.is(ask({ threshold: 80, prepare: up }, taken), "true\n");
  const after = `require(${LIBRARY}).mayBind(80).then(() => require("net").createServer().listen(80, "0.0.0.0", () => { console.log("free"); process.exit(); }))`;
  assert.is(inNamespace([node(26), "-e", after], { threshold: 80, prepare: up }).stdout, "free\n");
});

test.run();
