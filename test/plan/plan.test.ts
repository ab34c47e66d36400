import * as assert from "uvu/assert";
import type { Facts } from "../../shim/lib/facts/facts.js";
import { planFor } from "../../shim/lib/plan/plan.js";
import * as report from "../../shim/lib/report/start.js";
import { has, inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("plan");

const [PKEXEC, RUN0, SYSCTL] = ["/usr/bin/pkexec", "/usr/bin/run0", "/usr/sbin/sysctl"];

/** Per route, in the plan's order: whether it is usable, and a part of the reason. */
const cases: [name: string, facts: Facts, usable: string[], reasons: Record<string, RegExp>][] = [
  [
    "a toolbox asks the host",
    inToolbox(),
    ["pkexec"],
    { write: /cannot write/, capability: /cannot bind/, nsenter: /own network/, pkexec: /through flatpak-spawn/ },
  ],
  [
    "who may write does",
    inToolbox({ writable: true, host: undefined }),
    ["write"],
    { write: /can write/, pkexec: /no need/ },
  ],
  ["who may bind does", inPodman({ mayBind: true, host: undefined }), ["capability"], { capability: /as it is/ }],
  [
    "no bridge",
    inToolbox({ bridge: undefined, host: undefined }),
    [],
    { pkexec: /^no flatpak-spawn or host-spawn here to reach the host; install one: package / },
  ],
  [
    "no bridge in a container, which one would not help",
    inPodman({ bridge: undefined, host: undefined, network: "unknown" }),
    [],
    { pkexec: /^no flatpak-spawn or host-spawn here to reach the host$/ },
  ],
  [
    "a host that does not answer",
    inToolbox({ host: { problem: "it sleeps" } }),
    [],
    { nsenter: /^it sleeps$/, pkexec: /^it sleeps$/ },
  ],
  [
    "a network of its own: no password, and the host's value is left alone",
    inPodman({ network: "own" }),
    ["nsenter"],
    { nsenter: /owns its network/, pkexec: /the host's value does not apply here/ },
  ],
  [
    "a network of its own, and a host without podman",
    inPodman({ network: "own", host: has({ nsenter: "/usr/bin/nsenter" }) }),
    [],
    { nsenter: /the host has no podman$/ },
  ],
  [
    "a network of its own that root's docker or podman made",
    inPodman({ network: "own", place: { ...inPodman().place, byUsersPodman: false } }),
    [],
    { nsenter: /only for a container that a user's own podman made$/ },
  ],
  [
    "a network nobody knows: no guess",
    inPodman({ network: "unknown" }),
    [],
    { nsenter: /own network/, pkexec: /cannot tell/ },
  ],
  [
    "a host without pkexec and run0",
    inToolbox({ host: has({ sysctl: SYSCTL }) }),
    [],
    { pkexec: /the host has no pkexec$/, run0: /the host has no pkexec and no run0$/ },
  ],
  [
    "a host with run0 alone",
    inToolbox({ host: has({ sysctl: SYSCTL, run0: RUN0 }) }),
    ["run0"],
    { pkexec: /the host has no pkexec$/, run0: /through flatpak-spawn/ },
  ],
  [
    "a host with both makes one prompt",
    inToolbox({ host: has({ sysctl: SYSCTL, run0: RUN0, pkexec: PKEXEC }) }),
    ["pkexec"],
    { run0: /only if the host has no pkexec, or with --via=run0/ },
  ],
  [
    "a host without a running polkit: all that would ask it",
    inToolbox({ host: { ...has({ sysctl: SYSCTL, pkexec: PKEXEC }), polkit: false } }),
    [],
    { pkexec: /^polkit is not running on the host$/, run0: /^polkit is not running on the host$/ },
  ],
  [
    "the same, with run0 alone",
    inToolbox({ host: { ...has({ sysctl: SYSCTL, run0: RUN0 }), polkit: false } }),
    [],
    { run0: /^polkit is not running on the host$/ },
  ],
  [
    "a host without sysctl",
    inToolbox({ host: has({ pkexec: PKEXEC }) }),
    [],
    { pkexec: /the host has no sysctl$/, run0: /the host has no sysctl$/ },
  ],
  ["on the host itself", onHost(), ["pkexec"], { pkexec: /polkit/ }],
];
for (const [name, facts, usable, reasons] of cases) {
  test(name, () => {
    const { satisfied, steps } = planFor(facts);
    assert.not(satisfied);
    assert.equal(
      steps.map(({ route }) => route.name),
      ["write", "capability", "nsenter", "pkexec", "run0"],
    );
    assert.equal(
      steps.filter((step) => step.usable).map(({ route }) => route.name),
      usable,
    );
    for (const { route, reason } of steps) {
      assert.ok(reason, route.name);
      const expected = reasons[route.name];
      if (expected) assert.match(reason, expected);
    }
  });
}

test("satisfied at the wanted value and below it", () => {
  for (const threshold of [80, 0]) assert.ok(planFor(inToolbox({ threshold })).satisfied);
  assert.not(planFor(inToolbox({ threshold: 81 })).satisfied);
});

test("if the kernel has no such setting, the bind question decides", () => {
  assert.ok(planFor(inToolbox({ threshold: undefined, mayBind: true })).satisfied);
  assert.not(planFor(inToolbox({ threshold: undefined, mayBind: false })).satisfied);
});

test("--via limits, orders and repeats nothing", () => {
  const names = (via: string[]) => planFor(inToolbox(), via).steps.map(({ route }) => route.name);
  assert.equal(names(["pkexec", "write", "pkexec"]), ["pkexec", "write"]);
  assert.equal(names(["sudo"]), ["sudo"]);
  const both = inToolbox({ host: has({ sysctl: SYSCTL, run0: RUN0, pkexec: PKEXEC }) });
  assert.ok(planFor(both, ["run0"]).steps[0]?.usable);
});

test("what runs as root is a constant and a checked integer", () => {
  const sysctl = ["/usr/sbin/sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=80"];
  const facts = inToolbox({ host: has({ sysctl: SYSCTL, run0: RUN0, pkexec: PKEXEC, sudo: "/usr/bin/sudo" }) });
  const commands = planFor(facts, ["pkexec", "run0", "sudo"]).steps.map(({ route }) => route.asRoot(facts, 80));
  assert.equal(commands, [
    ["/usr/bin/pkexec", ...sysctl],
    ["/usr/bin/run0", "--background=", ...sysctl],
    ["/usr/bin/sudo", "-n", ...sysctl],
  ]);
  for (const value of [Number.NaN, 80.5, -1, "80; reboot" as unknown as number]) {
    assert.throws(() => planFor(inToolbox(), ["pkexec"]).steps[0]?.route.asRoot(inToolbox(), value), /invalid number/);
  }
});

test("the host's programs are run by the paths that it reported: NixOS", () => {
  const [wrappers, system] = ["/run/wrappers/bin", "/run/current-system/sw/bin"];
  const programs = { pkexec: `${wrappers}/pkexec`, run0: `${system}/run0`, sysctl: `${system}/sysctl` };
  const facts = inToolbox({ host: has(programs) });
  const sysctl = [`${system}/sysctl`, "-w", "net.ipv4.ip_unprivileged_port_start=80"];
  assert.equal(
    planFor(facts, ["pkexec", "run0"]).steps.map(({ route }) => route.asRoot(facts, 80)),
    [
      [`${wrappers}/pkexec`, ...sysctl],
      [`${system}/run0`, "--background=", ...sysctl],
    ],
  );
});

test("the plan as a person reads it", () => {
  const facts = inToolbox();
  assert.is(
    report.dryRun(facts, planFor(facts)),
    `place: a toolbox (/run/.toolboxenv)
threshold: 1024, wanted: 80 (/etc/sysctl.d/80-web.conf:1)
bridge: /usr/bin/flatpak-spawn, network namespace: hosts
/etc/sysctl.d/80-web.conf:1 sets net.ipv4.ip_unprivileged_port_start=80, but it was never applied: the value is 1024
no   write: cannot write /proc/sys/net/ipv4/ip_unprivileged_port_start
no   capability: the server cannot bind the port as it is
no   nsenter: only for a container with its own network
yes  pkexec: the host can be asked through flatpak-spawn
no   run0: the host has no run0
no   sudo: only with --via=sudo
Would run as root:
    /usr/bin/pkexec /usr/sbin/sysctl -w net.ipv4.ip_unprivileged_port_start=80`,
  );
});

test("the plan if nothing has to be done, and if nothing can be", () => {
  const satisfied = inToolbox({ threshold: 80 });
  assert.match(report.dryRun(satisfied, planFor(satisfied)), /\nNothing to do\.$/);
  const stuck = inToolbox({ bridge: undefined, host: undefined, network: "unknown" });
  assert.match(
    report.dryRun(stuck, planFor(stuck)),
    /\nThere is no way from here\.\nRun this on the host, then start again:\n {4}sudo sysctl -w net\.ipv4\.ip_unprivileged_port_start=80$/,
  );
});

test.run();
