import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { PortshimError } from "../../shim/lib/error.js";
import { ensurePorts } from "../../shim/lib/library/index.js";
import { inNamespace, pathWith, type Situation } from "../namespace.js";
import { NODE_VERSIONS, PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";

const options = suite("what ensurePorts() is asked for");

const ROUTES = "write, capability, nsenter, pkexec, run0, sudo";
const START = "start must be an integer from 0 to 1024, not";
const TIMEOUT = "timeout must be an integer from 1 to 86400, not";
const VIA = `via must be one or more of ${ROUTES}, not`;
const SIGNAL = "signal must be an AbortSignal, not";

/** For callers that are not TypeScript programs. */
type Anything = never;

const REFUSED: readonly (readonly [given: unknown, sentence: string])[] = [
  [null, "options must be an object, not null"],
  [80, "options must be an object, not 80"],
  ["80", 'options must be an object, not "80"'],
  [[80], 'unknown option "0"; known options: start, via, timeout, signal, logger'],
  [{ strat: 80 }, 'unknown option "strat"; known options: start, via, timeout, signal, logger'],
  [{ "\u001b[31m": 1 }, 'unknown option "[31m"; known options: start, via, timeout, signal, logger'],
  [{ start: 1025 }, `${START} 1025`],
  [{ start: -1 }, `${START} -1`],
  [{ start: 80.5 }, `${START} 80.5`],
  [{ start: Number.NaN }, `${START} NaN`],
  [{ start: Number.POSITIVE_INFINITY }, `${START} Infinity`],
  [{ start: 80n }, `${START} 80`],
  [{ start: "80" }, `${START} "80"`],
  [{ start: "\u001b]0;80\u0007\n; reboot" }, `${START} "]0;80 ; reboot"`],
  [{ start: null }, `${START} null`],
  [{ start: true }, `${START} true`],
  [{ start: [80] }, `${START} [80]`],
  [{ start: { valueOf: () => 80 } }, `${START} an object`],
  [{ start: Symbol("80") }, `${START} a symbol`],
  [{ timeout: 0 }, `${TIMEOUT} 0`],
  [{ timeout: 86401 }, `${TIMEOUT} 86401`],
  [{ timeout: "5" }, `${TIMEOUT} "5"`],
  [{ via: "write" }, `${VIA} "write"`],
  [{ via: [] }, `${VIA} []`],
  [{ via: ["ssh"] }, `${VIA} ["ssh"]`],
  [{ via: ["write,pkexec"] }, `${VIA} ["write,pkexec"]`],
  [{ via: ["write", 7, {}, ["pkexec"]] }, `${VIA} ["write", 7, an object, a list]`],
  [{ via: new Set(["write"]) }, `${VIA} an object`],
  [{ signal: null }, `${SIGNAL} null`],
  [{ signal: new AbortController() }, `${SIGNAL} an object`],
  [{ signal: { aborted: false } }, `${SIGNAL} an object`],
  [{ logger: null }, "logger must be a function, not null"],
  [{ logger: console }, "logger must be a function, not an object"],
];
for (const [given, sentence] of REFUSED) {
  options(`refused: ${sentence}`, async () => {
    const promise = ensurePorts(given as Anything);
    const error = await rejection(promise);
    assert.ok(error instanceof PortshimError);
    assert.equal([error.name, error.code, error.message, error.remedy], ["PortshimError", "bad-usage", sentence, ""]);
  });
}

options("a getter that throws rejects the call too", async () => {
  const given = {
    get start(): number {
      throw new Error("no start today");
    },
  };
  assert.equal(await rejection(ensurePorts(given)), new Error("no start today"));
});

options("an aborted signal: its reason, whatever it is", async () => {
  assert.is(await rejection(ensurePorts({ signal: AbortSignal.abort("enough") })), "enough");
  assert.is(((await rejection(ensurePorts({ signal: AbortSignal.abort() }))) as Error).name, "AbortError");
});

options.run();

const test = suite("ensurePorts()", "root", "nodes");

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => assert.unreachable(`resolved to ${value}`),
    (error) => error,
  );
}

/** What a program printed as JSON; it imports portshim as every package of the workspace does. */
function program(source: string, situation: Situation, ...nodeOptions: string[]) {
  const run = inNamespace(["node", ...nodeOptions, "-e", source], { cwd: ROOT, ...situation });
  assert.is(run.status, 0, run.stderr);
  return run;
}

/** A program that prints the result of a call with these options, which are JavaScript. */
const call = (given: string) => `
  const { ensurePorts } = require("portshim");
  ensurePorts(${given}).then(
    (done) => console.log(JSON.stringify({ done })),
    ({ name, code, message, remedy, isRefusal }) =>
      console.log(JSON.stringify({ name, code, message, remedy, isRefusal })),
  );
`;

for (const version of NODE_VERSIONS) {
  const env = { PATH: pathWith(version) };

  test(`from CommonJS on Node ${version}: low enough already`, () => {
    const { stdout, stderr, threshold } = program(call("{ start: 80 }"), { threshold: 80, env, ordinary: true });
    assert.equal([stdout, stderr, threshold], ['{"done":"already"}\n', "", 80]);
  });

  test(`from an ES module on Node ${version}: written as root, never lower than was asked for`, () => {
    const source = `
      import * as all from "portshim";
      import { ensurePorts, PortshimError } from "portshim";
      console.log(await ensurePorts({ start: 443 }), await ensurePorts({ start: 500 }), typeof PortshimError);
      console.log(Object.keys(all).filter((name) => /^[a-z]+P|^P/.test(name)).join());
    `;
    const { stdout, stderr, threshold } = program(source, { threshold: 1024, env }, "--input-type=module");
    assert.equal([stdout, stderr, threshold], ["write already function\nPortshimError,ensurePorts\n", "", 443]);
  });
}

test("without a start: what sysctl.d asks for, else 80", () => {
  const prepare = "mount -t tmpfs tmpfs /etc/sysctl.d; mount -t tmpfs tmpfs /usr/lib/sysctl.d";
  const of = (more: string) => program(call(""), { threshold: 1024, prepare: `${prepare}; ${more}` }).threshold;
  assert.is(of(":"), 80);
  assert.is(of("echo net.ipv4.ip_unprivileged_port_start=25 >/etc/sysctl.d/25-mail.conf"), 25);
});

test("PORTSHIM_START and its like apply only to the command line", () => {
  const env = { PATH: pathWith(26), PORTSHIM_START: "http", PORTSHIM_VIA: "ssh", PORTSHIM_DRY_RUN: "1" };
  const { stdout, threshold } = program(call("{ start: 80 }"), { threshold: 1024, env });
  assert.equal([stdout, threshold], ['{"done":"write"}\n', 80]);
});

const PROBLEMS: readonly (readonly [
  code: string,
  status: number,
  flags: string[],
  given: string,
  situation: Situation,
])[] = [
  ["no-way", 69, ["--start=80", "--via=write"], '{ start: 80, via: ["write"] }', { threshold: 1024, ordinary: true }],
  [
    "no-setting",
    69,
    ["--start=80"],
    "{ start: 80 }",
    { threshold: 1024, ordinary: true, prepare: "mount -t tmpfs tmpfs /proc/sys/net" },
  ],
  [
    "bad-usage",
    64,
    ["--start=80"],
    "{ start: 80 }",
    { threshold: 1024, ordinary: true, env: { PATH: pathWith(26), PORTSHIM_BRIDGE: "bridge\u001b[31m" } },
  ],
];
for (const [code, status, flags, given, situation] of PROBLEMS) {
  test(`${code}: in the command line's words`, () => {
    const failure = JSON.parse(program(call(given), situation).stdout);
    assert.equal([failure.name, failure.code, failure.isRefusal], ["PortshimError", code, false]);
    const run = inNamespace([PORTSHIM, ...flags, "--", "/bin/true"], situation);
    assert.is(run.status, status);
    const said = run.stderr.slice(run.stderr.lastIndexOf("portshim: "));
    assert.is(said, `portshim: ${[failure.message, failure.remedy].filter(Boolean).join("\n")}\n`);
  });
}

test("nothing is written without a logger, neither on success nor on failure", () => {
  const silent = (given: string) => `require("portshim").ensurePorts(${given}).then(() => {}, () => {})`;
  for (const ordinary of [false, true]) {
    const run = program(silent('{ start: 80, via: ["write"] }'), { threshold: 1024, ordinary });
    assert.equal([run.stdout, run.stderr, run.threshold], ["", "", ordinary ? 1024 : 80]);
  }
});

test("the logger gets the messages and their levels", () => {
  const source = `
    const lines = [];
    const logger = (...message) => lines.push(message);
    require("portshim").ensurePorts({ start: 80, logger }).then(() => console.log(JSON.stringify(lines)));
  `;
  const { stdout, stderr } = program(source, { threshold: 1024 });
  assert.is(stderr, "");
  const [facts, ...others] = JSON.parse(stdout);
  assert.is(facts[0], "detail");
  assert.match(facts[1], /\nthreshold: 1024, wanted: 80 \(This server\)\n/);
  assert.equal(
    others.map(([level, message]: string[]) => [level, message?.split("\n")[0]?.replace(/, until .*/, "")]),
    [
      [
        "info",
        "This server asks for ports 80 and up, but those below 1024 need privileges here (net.ipv4.ip_unprivileged_port_start)",
      ],
      ["info", "Done. Any user can now bind ports 80 and up"],
    ],
  );
});

test("an error of the logger rejects the call, as it is", () => {
  const source = call('{ start: 80, logger: () => { throw new TypeError("disk full") } }');
  const { name, message } = JSON.parse(program(source, { threshold: 1024 }).stdout);
  assert.equal([name, message], ["TypeError", "disk full"]);
});

for (const version of NODE_VERSIONS) {
  test(`twenty calls at once on Node ${version}, with one signal: no warning, and nothing stays behind`, () => {
    const source = `
      const { getEventListeners } = require("node:events");
      const { ensurePorts } = require("portshim");
      const listeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);
      const before = JSON.stringify(listeners());
      const { signal } = new AbortController();
      const calls = Array.from({ length: 20 }, () => ensurePorts({ start: 80, signal }));
      Promise.all(calls).then(async (all) => {
        // libuv closes handles at the end of an iteration of the loop.
        for (let round = 0; round < 2; round++) await new Promise(setImmediate);
        const left = [getEventListeners(signal, "abort").length, ...process.getActiveResourcesInfo()];
        const same = JSON.stringify(listeners()) === before;
        console.log(JSON.stringify([[...new Set(all)].sort(), left, same]));
      });
    `;
    const run = program(source, { threshold: 1024, env: { PATH: pathWith(version) } });
    assert.equal([JSON.parse(run.stdout), run.stderr, run.threshold], [[["already", "write"], [0], true], "", 80]);
  });
}

test("docs/library.md shows the tested framework, and every code that can occur", () => {
  const text = readFileSync(join(ROOT, "docs", "library.md"), "utf8");
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code ?? "");
  const framework = readFileSync(join(ROOT, "test", "library", "framework.ts"), "utf8");
  assert.ok(framework.includes(blocks.at(-1) ?? "?"));

  const declared = readFileSync(join(ROOT, "shim", "types", "error.d.ts"), "utf8");
  const [, union = ""] = /type FailureCode = ([^;]+);/.exec(declared) ?? [];
  const codes = [...union.matchAll(/"([a-z-]+)"/g)].map(([, code]) => code ?? "");
  // Of --user and of the commands, which the library does not have.
  const others = [
    "no-user",
    "no-drop",
    "not-found",
    "not-executable",
    "no-persist",
    "persist-failed",
    "no-guard",
    "guard-failed",
    "output-failed",
  ];
  const table = text.slice(text.indexOf("| code |"));
  const documented = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code ?? "");
  assert.equal(documented.sort(), codes.filter((code) => !others.includes(code)).sort());
});

test.run();
