import * as assert from "uvu/assert";
import type { Facts } from "../shim/lib/facts.js";
import { plan } from "../shim/lib/plan.js";
import * as report from "../shim/lib/report.js";
import { inPodman, inToolbox, onHost } from "./situation.js";
import { suite } from "./suite.js";

const test = suite("plan");

const cases: [name: string, facts: Facts, expected: [route: string, usable: boolean, reason: RegExp][]][] = [
  [
    "a toolbox asks the host",
    inToolbox(),
    [
      ["write", false, /may not write/],
      ["pkexec", true, /through flatpak-spawn/],
    ],
  ],
  [
    "who may write does",
    inToolbox({ writable: true, host: undefined }),
    [
      ["write", true, /may write/],
      ["pkexec", false, /no need/],
    ],
  ],
  [
    "no bridge",
    inToolbox({ bridge: undefined, host: undefined }),
    [
      ["write", false, /./],
      ["pkexec", false, /no flatpak-spawn here/],
    ],
  ],
  [
    "a host that does not answer",
    inToolbox({ host: { problem: "it sleeps" } }),
    [
      ["write", false, /./],
      ["pkexec", false, /^it sleeps$/],
    ],
  ],
  [
    "a network of its own: the host's value is left alone",
    inPodman({ network: "own" }),
    [
      ["write", false, /./],
      ["pkexec", false, /own network/],
    ],
  ],
  [
    "a network nobody knows: no guess",
    inPodman({ network: "unknown" }),
    [
      ["write", false, /./],
      ["pkexec", false, /not known/],
    ],
  ],
  [
    "a host without pkexec",
    inToolbox({ host: { networkNamespace: 1, programs: ["/usr/sbin/sysctl"] } }),
    [
      ["write", false, /./],
      ["pkexec", false, /no \/usr\/bin\/pkexec/],
    ],
  ],
  [
    "a host without sysctl",
    inToolbox({ host: { networkNamespace: 1, programs: ["/usr/bin/pkexec"] } }),
    [
      ["write", false, /./],
      ["pkexec", false, /no sysctl program/],
    ],
  ],
  [
    "on the host itself",
    onHost(),
    [
      ["write", false, /./],
      ["pkexec", true, /polkit/],
    ],
  ],
];
for (const [name, facts, expected] of cases) {
  test(name, () => {
    const { satisfied, steps } = plan(facts);
    assert.not(satisfied);
    assert.equal(
      steps.map(({ route, usable }) => [route.name, usable]),
      expected.map(([route, usable]) => [route, usable]),
    );
    for (const [index, [, , reason]] of expected.entries()) assert.match(steps[index]?.reason ?? "", reason);
  });
}

test("satisfied at the wanted value, below it, and where the kernel has no such setting", () => {
  for (const threshold of [80, 0, undefined]) assert.ok(plan(inToolbox({ threshold })).satisfied);
  assert.not(plan(inToolbox({ threshold: 81 })).satisfied);
});

test("--via limits and orders", () => {
  const names = (via: string[]) => plan(inToolbox(), via).steps.map(({ route }) => route.name);
  assert.equal(names(["pkexec", "write"]), ["pkexec", "write"]);
  assert.equal(names(["pkexec"]), ["pkexec"]);
});

test("what runs as root is a constant and a checked integer", () => {
  for (const { route } of plan(inToolbox()).steps) {
    const command = route.asRoot(inToolbox(), 80);
    if (!command) continue;
    assert.equal(command, ["/usr/bin/pkexec", "/usr/sbin/sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=80"]);
  }
});

test("the plan as a person reads it", () => {
  const facts = inToolbox();
  assert.is(
    report.dryRun(facts, plan(facts)),
    `place: a toolbox (/run/.toolboxenv)
threshold: 1024, wanted: 80 (/etc/sysctl.d/80-web.conf:1)
bridge: /usr/bin/flatpak-spawn, network namespace: hosts
/etc/sysctl.d/80-web.conf:1 asks for net.ipv4.ip_unprivileged_port_start = 80, but it was never applied here: it is 1024.
no   write: we may not write /proc/sys/net/ipv4/ip_unprivileged_port_start
yes  pkexec: the host can be asked through flatpak-spawn
Would run as root:
    /usr/bin/pkexec /usr/sbin/sysctl -w net.ipv4.ip_unprivileged_port_start=80`,
  );
});

test("the plan where nothing has to be done, and where nothing can be", () => {
  const satisfied = inToolbox({ threshold: 80 });
  assert.match(report.dryRun(satisfied, plan(satisfied)), /\nNothing has to be done\.$/);
  const stuck = inToolbox({ bridge: undefined, host: undefined, network: "unknown" });
  assert.match(
    report.dryRun(stuck, plan(stuck)),
    /\nNo route can be taken\.\nRun this on the host, then start again:\n {4}sudo sysctl -w net\.ipv4\.ip_unprivileged_port_start=80$/,
  );
});

test.run();
