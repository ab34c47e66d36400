import * as assert from "uvu/assert";
import { find } from "../../shim/lib/cli/findings.js";
import { planFor } from "../../shim/lib/plan/plan.js";
import { describe, type Findings, paletteFor } from "../../shim/lib/report/check.js";
import { inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("what check says");

const PLAIN = paletteFor(false, {});
const found = (facts = inToolbox(), via?: readonly string[]): Promise<Findings> =>
  find(facts, planFor(facts, via), false);
const report = async (facts = inToolbox()) => describe(await found(facts), PLAIN);

test("colours: on a terminal, unless NO_COLOR or a dumb one", () => {
  const marked = (isTerminal: boolean, env: NodeJS.ProcessEnv) => paletteFor(isTerminal, env).good("x") !== "x";
  assert.equal(
    [
      marked(true, { TERM: "xterm" }),
      marked(true, { NO_COLOR: "" }),
      marked(true, { NO_COLOR: "0" }),
      marked(true, { TERM: "dumb" }),
      marked(false, { TERM: "xterm" }),
    ],
    [true, true, false, false, false],
  );
});

const PUBLISHING = "decides which ports can be published (-p) without root";

for (const [name, facts, line] of [
  [
    "no bridge",
    inPodman({ bridge: undefined, host: undefined, network: "unknown" }),
    "host          cannot be asked from here",
  ],
  [
    "a host that does not answer",
    inToolbox({ host: { problem: "no \u001b[1mbus" }, network: "unknown" }),
    "host          no [1mbus",
  ],
  ["the host itself", onHost(), "host          this machine"],
  ["the host's network", inToolbox(), `on the host   the same value, which also ${PUBLISHING}`],
  [
    "the host's threshold beside the container's",
    inPodman({ threshold: 0, network: "own", host: { networkNamespace: 1, programs: {}, threshold: 443 } }),
    `on the host   443: ${PUBLISHING}; the one here decides which can be bound`,
  ],
  [
    "a host's threshold that is not known",
    inPodman({ network: "unknown", host: { problem: "no bus" } }),
    `on the host   unknown: ${PUBLISHING}; the one here decides which can be bound`,
  ],
  ["a network of its own", inPodman({ network: "own" }), "network       its own: the host's threshold does not apply"],
  ["an unknown network", inPodman({ network: "unknown" }), "network       unknown: perhaps the host's"],
  ["every port", inToolbox({ threshold: 0 }), "threshold     0: any user can bind any port"],
  [
    "a kernel without it",
    inToolbox({ threshold: undefined }),
    "threshold     this kernel has no net.ipv4.ip_unprivileged_port_start",
  ],
  [
    "nobody asks",
    inToolbox({ wanted: { value: 80, by: undefined, fromFile: false } }),
    "wanted        80, the default",
  ],
  [
    "a value that the kernel would refuse",
    inToolbox({
      declaredOnHost: {
        declared: undefined,
        invalid: [{ file: "/run/host/etc/x.conf", line: 3, text: "http", value: undefined }],
      },
    }),
    '              /run/host/etc/x.conf:3 sets "http", which is invalid',
  ],
  [
    "a container's end",
    inPodman({ threshold: 80, network: "own" }),
    "Nothing to do: ports 80 and up can be bound until this container stops.",
  ],
] as const) {
  test(`the report: ${name}`, async () => {
    const lines = (await report(facts)).split("\n").map((text) => text.trimEnd());
    assert.ok(
      lines.some((text) => text === line || text === `  ${line}`),
      lines.join("\n"),
    );
  });
}

test("the report: on the host itself there is no other threshold", async () => {
  assert.not.match(await report(onHost()), "on the host ");
});

test("the report: a route that runs nothing as root", async () => {
  const text = await report(inPodman({ mayBind: true }));
  assert.match(
    text,
    "portshim -- COMMAND would use the route capability.\nThen ports 80 and up can be bound by the server that portshim starts here",
  );
});

test("the report: the results of --bind", async () => {
  const base = await found();
  const ports = [
    {
      port: 80,
      error: "EADDRINUSE",
      holders: [
        { pid: 7, name: "nginx" },
        { pid: 8, name: "nginx" },
      ],
    },
    { port: 81, error: "EADDRINUSE", holders: [] },
    { port: 82, error: "EACCES", holders: null },
    { port: 83, error: "EMFILE", holders: null },
    { port: 84, error: null, holders: null },
  ];
  const text = describe({ ...base, ports }, PLAIN);
  assert.ok(
    text.endsWith(`
  ✗ 80          is in use by nginx (process 7) and nginx (process 8)
  ✗ 81          is in use by a process that cannot be seen from here
  ✗ 82          cannot be bound: permission denied
  ✗ 83          cannot be bound: EMFILE
  ✓ 84          can be bound
`),
    text,
  );
});

test.run();
