import * as assert from "uvu/assert";
import type { Facts } from "../../shim/lib/facts/facts.js";
import type { Manager, Place } from "../../shim/lib/here/place.js";
import { keep, keepByHand, nextStep, removeByHand } from "../../shim/lib/report/remedy.js";
import { inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("what a person can do");

const SETTING = "net.ipv4.ip_unprivileged_port_start=80";
const BY_HAND = `    sudo sysctl -w ${SETTING}`;
const kept = (managedBy: Manager, network: Facts["network"]): Facts => {
  const place: Place = { ...inPodman().place, managedBy };
  return inPodman({ place, network });
};

const PODMAN = `Start it with this:\n    podman run --sysctl ${SETTING} …\n    (in a Quadlet file: Sysctl=${SETTING})`;
const KUBERNETES = `Start it with this:
    securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "80"}]}    (in the pod's spec)`;

const cases: [name: string, facts: Facts, text: string][] = [
  ["a toolbox", inToolbox(), `Run this on the host, then start again:\n${BY_HAND}`],
  [
    "a toolbox whose host was not reached",
    inToolbox({ network: "unknown" }),
    `Run this on the host, then start again:\n${BY_HAND}`,
  ],
  ["the host itself", onHost(), `Run this, then start again:\n${BY_HAND}`],
  ["podman with its own network", kept("podman", "own"), PODMAN],
  [
    "podman, who knows",
    kept("podman", "unknown"),
    `${PODMAN}\nor, with --network host, run this on the host:\n${BY_HAND}`,
  ],
  ["podman with the host's network", kept("podman", "hosts"), `Run this on the host, then start again:\n${BY_HAND}`],
  [
    "docker, who knows",
    kept("docker", "unknown"),
    `Start it with this:
    docker run --sysctl ${SETTING} …
    (in a compose file: sysctls: ["${SETTING}"])
or, with --network host, run this on the host:
${BY_HAND}`,
  ],
  [
    "rootless docker, whose --network host is not the host's",
    kept("rootless docker", "unknown"),
    `Start it with this:
    docker run --sysctl ${SETTING} …
    (in a compose file: sysctls: ["${SETTING}"])
    (without --network host, which is not the host's network in rootless docker)`,
  ],
  ["a pod with its own network", kept("kubernetes", "own"), KUBERNETES],
  [
    "a pod, who knows",
    kept("kubernetes", "unknown"),
    `${KUBERNETES}\nor, with hostNetwork: true, run this on the host:\n${BY_HAND}`,
  ],
];
for (const [name, facts, text] of cases) {
  test(name, () => {
    assert.is(nextStep(facts), text);
    assert.ok(text.split("\n").length <= 6);
  });
}

test("how to make it permanent", () => {
  const file = `echo ${SETTING} | sudo tee /etc/sysctl.d/90-ports.conf`;
  const asked = { value: 80, by: "--start", fromFile: false };
  assert.is(keep(inToolbox()), "portshim persist");
  assert.is(keep(inToolbox({ wanted: asked })), "portshim persist --start=80");
  assert.is(keep(inToolbox({ network: "unknown" })), `${file}    (on the host)`);
  assert.is(keep(onHost()), "portshim persist");
  assert.is(keep(kept("podman", "hosts")), `${file}    (on the host)`);
  assert.is(keep(kept("podman", "own")), `podman run --sysctl ${SETTING} …`);
  const either = `docker run --sysctl ${SETTING} …\nor, with --network host, run this on the host:\n    ${file}`;
  assert.is(keep(kept("docker", "unknown")), either);
  assert.is(keep(kept("rootless docker", "unknown")), `docker run --sysctl ${SETTING} …`);
});

test("by hand, what portshim persist could not do", () => {
  const write = `echo ${SETTING} | sudo tee /etc/sysctl.d/90-ports.conf && sudo sysctl -w ${SETTING}`;
  assert.is(keepByHand(80), `Run this on the host:\n    ${write}`);
  const remove = `sudo rm -f /etc/sysctl.d/90-portshim.conf && sudo sysctl -w ${SETTING}`;
  assert.is(removeByHand(80), `Run this on the host:\n    ${remove}`);
});

test.run();
