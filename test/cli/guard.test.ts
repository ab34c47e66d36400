import { spawnSync } from "node:child_process";
import * as assert from "uvu/assert";
import { guardedBy, servicesIn } from "../../shim/lib/cli/guard.js";
import { PortshimError } from "../../shim/lib/error.js";
import { APPLY, type Guarded, REMOVE, ruleset, type Service } from "../../shim/lib/plan/ruleset.js";
import { inToolbox } from "../situation.js";
import { suite } from "../suite.js";
import { WEB_RULES } from "./guard.rules.js";

const test = suite("guard");

const wanting = (value: number) => ({ wanted: { value, by: "--start", fromFile: false } });

for (const [name, threshold, wanted, ports, first, closed] of [
  ["the default", 80, 80, undefined, 80, "81-442 444-1023"],
  ["before it is lowered", 1024, 80, undefined, 80, "81-442 444-1023"],
  ["what is wanted is above what is in force", 80, 443, undefined, 80, "80-442 444-1023"],
  ["what is wanted is below", 443, 80, undefined, 80, "81-442 444-1023"],
  ["443 and up", 443, 443, undefined, 443, "444-1023"],
  ["a server for mail", 25, 25, undefined, 25, "26-79 81-442 444-1023"],
  ["all ports", 0, 80, undefined, 1, "1-79 81-442 444-1023"],
  ["all ports, wanted", 0, 0, undefined, 1, "1-79 81-442 444-1023"],
  ["other ports, in any order, twice", 80, 80, [500, 81, 500], 80, "80-80 82-499 501-1023"],
  ["ports that are next to each other", 80, 80, [80, 81, 82], 80, "83-1023"],
  ["the last one", 80, 80, [1023], 80, "80-1022"],
  ["a port above them all", 80, 2000, undefined, 80, "80-1023"],
  ["one of them, named", 80, 80, [80, 8080], 80, "81-1023"],
  ["a port that the threshold does not open", 80, 80, [22, 80], 80, "81-1023"],
] as const) {
  test(`what is closed: ${name}`, () => {
    const guarded = guardedBy(inToolbox({ threshold, ...wanting(wanted) }), ports);
    assert.equal([guarded?.first, guarded?.closed.map((range) => range.join("-")).join(" ")], [first, closed]);
  });
}

test("nothing is closed where nothing is open", () => {
  assert.is(guardedBy(inToolbox({ threshold: 1024, ...wanting(1024) })), undefined);
  assert.is(guardedBy(inToolbox({ threshold: 1022, ...wanting(1022) }), [1023, 1022]), undefined);
  assert.is(guardedBy(inToolbox({ threshold: 1024, ...wanting(8080) })), undefined);
  assert.is(guardedBy(inToolbox({ threshold: 2000, ...wanting(8080) })), undefined);
});

test("a kernel without the setting", () => {
  assert.throws(
    () => guardedBy(inToolbox({ threshold: undefined })),
    (error: unknown) => error instanceof PortshimError && error.code === "no-guard",
  );
});

const WEB: Guarded = {
  first: 80,
  ports: [80, 443],
  closed: [
    [81, 442],
    [444, 1023],
  ],
};
const SERVICES: readonly Service[] = [
  { protocol: "tcp", port: 111, uid: 0 },
  { protocol: "udp", port: 500, uid: 1000 },
  { protocol: "tcp", port: 631, uid: 0 },
  { protocol: "udp", port: 631, uid: 0 },
];

test("the rules", () => {
  assert.is(ruleset(WEB, SERVICES), WEB_RULES);
});

test("no service of root's: no rule for them", () => {
  const rules = ruleset({ first: 443, ports: [443], closed: [[444, 1023]] }, [{ protocol: "tcp", port: 500, uid: 7 }]);
  assert.not.match(rules, /Services of root|tcp dport/);
  assert.match(rules, "th dport { 444-1023 } reject");
});

test("whatever root is asked to run is one plain command, and polkit's prompt shows it whole: 80 characters", () => {
  for (const argv of [APPLY, REMOVE]) {
    const shown = ["/run/current-system/sw/bin/nft", ...argv].join(" ");
    // MATE's agent shows nothing of a text with these.
    assert.ok(shown.length <= 80 && !/[&<>]/.test(shown), shown);
  }
});

test("only integers get near root, and nothing that systemd-run would replace", () => {
  for (const port of ["80 } accept", 80.5, Number.NaN, -1]) {
    const bad = port as number;
    for (const [guarded, services] of [
      [{ ...WEB, first: bad }, []],
      [{ ...WEB, ports: [bad] }, []],
      [{ ...WEB, closed: [[bad, 1023]] }, []],
      [{ ...WEB, closed: [[80, bad]] }, []],
      [WEB, [{ protocol: "tcp", port: bad, uid: 0 }]],
    ] as [Guarded, Service[]][])
      assert.throws(() => ruleset(guarded, services), /invalid number/);
  }
  assert.not.match(ruleset(WEB, SERVICES), "$");
});

// From a Debian 13's /proc/net, blanks and all.
const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const line = (local: string, state: string, uid: number) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000 ${`${uid}`.padStart(5)}        0 4711 1 0 100 0 0 10 0`;
const tables = (tcp: string[], tcp6: string[] = [], udp: string[] = [], udp6: string[] = []) =>
  `${Object.entries({ tcp, tcp6, udp, udp6 })
    .map(([name, lines]) => [`table ${name}`, HEAD, ...lines].join("\n"))
    .join("\n")}\ntable end\n`;
const ANY6 = "0".repeat(32);

test("who can be reached from outside, from the words of /proc/net", () => {
  const text = tables(
    [
      line("00000000:006F", "0A", 0),
      line("010200C0:0277", "0A", 1000),
      line("0100007F:0050", "0A", 0),
      line("3500007F:0035", "0A", 0),
      line("010200C0:0016", "01", 0),
    ],
    [
      line(`${ANY6}:0277`, "0A", 0),
      line("00000000000000000000000001000000:0277", "0A", 0),
      line("0000000000000000FFFF00000100007F:0277", "0A", 0),
    ],
    [line("00000000:0277", "07", 0), line("010200C0:0202", "01", 0), line("0100007F:0143", "07", 0)],
    [line("B80D0120000000000000000001000000:01F4", "07", 4321)],
  );
  assert.equal(servicesIn(text), [
    { protocol: "tcp", port: 111, uid: 0 },
    { protocol: "tcp", port: 631, uid: 1000 },
    { protocol: "tcp", port: 631, uid: 0 },
    { protocol: "udp", port: 631, uid: 0 },
    { protocol: "udp", port: 500, uid: 4321 },
  ]);
});

test("an answer that is not whole, or no answer, is none; a host without IPv6 has no such tables", () => {
  const whole = tables([line("00000000:006F", "0A", 0)]);
  for (const length of [0, 20, whole.length - 5, whole.length - 1])
    assert.is(servicesIn(whole.slice(0, length)), undefined);
  assert.is(servicesIn("table tcp\ntable end\n"), undefined);
  assert.equal(servicesIn("table tcp\ntable tcp6\ntable udp\ntable udp6\ntable end\n"), []);
  const nonsense = ["", "x", "0: 00000000:006F", "0: 0000:006F x 0A", "0: 00000000:6F x 0A 0 0 0 0 0 1"];
  assert.equal(servicesIn(tables(nonsense)), []);
});

test.run();

const real = suite("guard's rules and the real nft", "root", "nft");

/** What nft answers, in a network namespace of its own. */
function nft(script: string, input: string) {
  const { status, stdout, stderr } = spawnSync("unshare", ["--net", "sh", "-ec", script], { input, encoding: "utf8" });
  return { status, stdout, stderr };
}

for (const [name, guarded, services] of [
  ["with services of root's", WEB, SERVICES],
  ["without", WEB, []],
  ["one port in a range, all ports", { first: 1, ports: [1023], closed: [[1, 1]] }, []],
] as [string, Guarded, readonly Service[]][]) {
  real(`it takes them, once and again: ${name}`, () => {
    const rules = ruleset(guarded, services);
    assert.equal(nft("exec nft --check --file -", rules), { status: 0, stdout: "", stderr: "" });
    const script = 'rules=$(cat); for i in 1 2; do echo "$rules" | nft --file -; nft list ruleset; done';
    const { status, stdout, stderr } = nft(script, rules);
    assert.equal([status, stderr], [0, ""]);
    const half = stdout.slice(0, stdout.length / 2);
    assert.is(half + half, stdout);
    assert.match(half, /^table inet portshim \{\n/);
  });
}

real.run();
