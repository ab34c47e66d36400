import type { Facts } from "../facts/facts.js";
import type { Manager, Network } from "../here/place.js";
import { SETTING } from "../here/threshold.js";
import { isLocal } from "../host/bridge.js";
import { BY_HAND, DROP_IN } from "../sysctl/dropin.js";
import { commandLine } from "../text.js";

/** How a person sets the threshold from outside, if portshim cannot. */
interface Advice {
  /** If the place has its own network; lines. */
  own(setting: string): readonly string[];
  /** The option or field that shares the host's network; undefined: there is none. */
  readonly shares?: string;
}

const ADVICE: Record<Manager, Advice> = {
  host: { own: (setting) => [`sudo sysctl -w ${setting}`], shares: "" },
  podman: {
    own: (setting) => [`podman run --sysctl ${setting} …`, `(in a Quadlet file: Sysctl=${setting})`],
    shares: "with --network host",
  },
  docker: {
    own: dockers,
    shares: "with --network host",
  },
  // Its --network host is rootlesskit's network, for which --sysctl is not accepted.
  "rootless docker": {
    own: (setting) => [
      ...dockers(setting),
      "(without --network host, which is not the host's network in rootless docker)",
    ],
  },
  kubernetes: {
    own: (setting) => {
      const [name, value] = setting.split("=");
      return [`securityContext: {sysctls: [{name: ${name}, value: "${value}"}]}    (in the pod's spec)`];
    },
    shares: "with hostNetwork: true",
  },
};

function dockers(setting: string): string[] {
  return [`docker run --sysctl ${setting} …`, `(in a compose file: sysctls: ["${setting}"])`];
}

/** The command that sets the threshold on the host, for a person to paste. */
export function byHand(value: number): string {
  return commandLine(["sudo", "sysctl", "-w", `${SETTING}=${value}`]);
}

/** The one thing for the person to do if portshim cannot; at most five lines. */
export function nextStep({ place, bridge, network, wanted }: Facts): string {
  const setting = `${SETTING}=${wanted.value}`;
  const onHost = `    ${byHand(wanted.value)}`;
  if (isLocal(bridge)) return `Run this, then start again:\n${onHost}`;
  if (network === "hosts" || place.sharesNetwork) return `Run this on the host, then start again:\n${onHost}`;
  if (place.managedBy === "host")
    return `Run this in the server's network namespace, or on the host if the server uses the host's network:\n${onHost}`;
  const lines = ADVICE[place.managedBy].own(setting).map((line) => `    ${line}`);
  return orOnHost(["Start it with this:", ...lines].join("\n"), onHost, place.managedBy, network);
}

/** What to start the container with, and what to run on the host instead if the network can be the host's. */
function orOnHost(start: string, onHost: string, manager: Manager, network: Network): string {
  const { shares } = ADVICE[manager];
  return network === "own" || shares === undefined
    ? start
    : `${start}\nor, ${shares}, run this on the host:\n${onHost}`;
}

/** How to make the threshold permanent; a line, or if nobody knows whose the network is, three. */
export function keep({ place, bridge, network, wanted }: Facts): string {
  const setting = `${SETTING}=${wanted.value}`;
  const maybeOwn = network === "unknown" && !place.sharesNetwork && place.managedBy !== "host";
  if (network === "own" || maybeOwn) {
    const [start = ""] = ADVICE[place.managedBy].own(setting);
    return orOnHost(start, `    ${tee(wanted.value)}`, place.managedBy, network);
  }
  if (place.hostRoot !== undefined && network === "hosts") {
    // persist finds the value of a file, and the default, by itself.
    const asked = wanted.by !== undefined && !wanted.fromFile;
    return asked ? `portshim persist --start=${wanted.value}` : "portshim persist";
  }
  const command = tee(wanted.value);
  return isLocal(bridge) ? command : `${command}    (on the host)`;
}

/** The one thing for the person to do if `portshim persist` cannot. */
export function keepByHand(value: number): string {
  return `Run this on the host:\n    ${tee(value)} && ${byHand(value)}`;
}

/** The same for `portshim persist --remove`. */
export function removeByHand(value: number): string {
  return `Run this on the host:\n    ${commandLine(["sudo", "rm", "-f", `/${DROP_IN}`])} && ${byHand(value)}`;
}

function tee(value: number): string {
  return `echo ${SETTING}=${value} | sudo tee /${BY_HAND}`;
}
