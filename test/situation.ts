import type { Facts } from "../shim/lib/facts/facts.js";
import type { Place } from "../shim/lib/here/place.js";
import { findBridge } from "../shim/lib/host/bridge.js";
import type { Host } from "../shim/lib/host/host.js";
import type { Resolution } from "../shim/lib/sysctl/resolve.js";

const NOTHING: Resolution = { declared: undefined, invalid: [] };
const TOOLBOX: Place = {
  name: "toolbox",
  what: "a toolbox",
  evidence: "/run/.toolboxenv",
  isHost: "no",
  sharesNetwork: true,
  byUsersPodman: true,
  managedBy: "host",
  hostRoot: "/run/host",
};

/** A host with these programs, in the network namespace of inToolbox(). */
export const has = (programs: Host["programs"]): Host => ({ networkNamespace: 4026531840, programs });

/** The main job's facts: a toolbox at 1024 whose sysctl.d sets 80, with a host that can be asked. */
export function inToolbox(different: Partial<Facts> = {}): Facts {
  const declared = { file: "/etc/sysctl.d/80-web.conf", line: 1, text: "80", value: 80 };
  return {
    threshold: 1024,
    wanted: { value: 80, by: "/etc/sysctl.d/80-web.conf:1", fromFile: true },
    place: TOOLBOX,
    declaredHere: { declared, invalid: [] },
    declaredOnHost: NOTHING,
    afterRestart: NOTHING,
    writable: false,
    mayBind: false,
    bridge: findBridge(TOOLBOX, {}, () => true),
    host: has({
      pkexec: "/usr/bin/pkexec",
      sudo: "/usr/bin/sudo",
      podman: "/usr/bin/podman",
      nsenter: "/usr/bin/nsenter",
      sysctl: "/usr/sbin/sysctl",
    }),
    networkNamespace: 4026531840,
    network: "hosts",
    ownTerminal: false,
    ...different,
  };
}

/** The facts in a podman container. */
export function inPodman(different: Partial<Facts> = {}): Facts {
  const { hostRoot: _, ...withoutHost } = TOOLBOX;
  const place: Place = {
    ...withoutHost,
    name: "rootless podman",
    what: "a rootless podman container",
    evidence: "/run/.containerenv",
    sharesNetwork: false,
    managedBy: "podman",
  };
  return inToolbox({ place, afterRestart: undefined, ...different });
}

/** The facts on the host itself. */
export function onHost(different: Partial<Facts> = {}): Facts {
  const place: Place = {
    ...TOOLBOX,
    name: "host",
    what: "the host itself",
    evidence: "none",
    isHost: "yes",
    hostRoot: "/",
  };
  const { declaredHere } = inToolbox(different);
  const here = { place, bridge: findBridge(place, {}), declaredOnHost: undefined, afterRestart: declaredHere };
  return inToolbox({ ...here, ...different });
}
