import * as assert from "uvu/assert";
import { hindrance } from "../shim/lib/persist.js";
import { inPodman, inToolbox, onHost } from "./situation.js";
import { suite } from "./suite.js";

const test = suite("persist");

const ELSEWHERE = "it works on the host itself, in a toolbox and in a distrobox";

for (const [name, facts, reason] of [
  ["the host itself", onHost(), undefined],
  [
    "a toolbox that does not see the host's files",
    inToolbox({ place: { ...inToolbox().place, hostRoot: "/nonexistent" } }),
    "the host's /etc/sysctl.d cannot be read from here",
  ],
  ["a container", inPodman(), `this is a rootless podman container; ${ELSEWHERE}`],
  [
    "a toolbox with its own network",
    inToolbox({ network: "own" }),
    "this is a toolbox with its own network, for which the host's value does not count",
  ],
  ["a host that does not answer", inToolbox({ network: "unknown", host: { problem: "no bus" } }), "no bus"],
  [
    "no bridge",
    inToolbox({ network: "unknown", bridge: undefined, host: undefined }),
    "there is no flatpak-spawn or host-spawn here, so the host cannot be asked; install one: package flatpak-spawn on Fedora, flatpak-xdg-utils on Debian and Ubuntu",
  ],
  [
    "a network nobody knows",
    inToolbox({ network: "unknown", networkNamespace: undefined }),
    "it is not known whether the network here is the host's",
  ],
  [
    "a kernel without the setting",
    inToolbox({ threshold: undefined }),
    "this kernel has no net.ipv4.ip_unprivileged_port_start",
  ],
] as const) {
  test(`whether it can be done: ${name}`, () => assert.is(hindrance(facts), reason));
}

test.run();
