import { closeSync, constants, existsSync, openSync } from "node:fs";
import { type Bridge, findBridge } from "./bridge.js";
import { askHost, type Host, type NoHost } from "./host.js";
import { type Network, ourNetworkNamespace } from "./network.js";
import { type Place, place } from "./place.js";
import { type Resolution, resolve } from "./sysctl.js";
import { FILE, liveThreshold } from "./threshold.js";
import { type Wanted, wanted } from "./wanted.js";

/** Everything the plan is made from, read once. */
export interface Facts {
  /** The threshold in force, 0–65535; undefined where the kernel has no such setting. */
  readonly threshold: number | undefined;
  readonly wanted: Wanted;
  readonly place: Place;
  /** What the sysctl.d files here declare. */
  readonly declaredHere: Resolution;
  /** The same of the host's files, where they can be seen under /run/host. */
  readonly declaredOnHost: Resolution | undefined;
  /** We may write the threshold ourselves. */
  readonly writable: boolean;
  readonly bridge: Bridge | undefined;
  /** What the host answered; undefined: it was not asked, because there was no need or no bridge. */
  readonly host: Host | NoHost | undefined;
  /** Whose network namespace ours is. */
  readonly network: Network;
}

/** Where a toolbox or a distrobox sees the host's files. */
const HOST_ROOT = "/run/host";

/**
 * Reads the facts. The host is asked only where the threshold is above `start` (or what is declared) and we cannot
 * write it ourselves.
 */
export async function gather(start: number | undefined, signal?: AbortSignal): Promise<Facts> {
  const here = place();
  const threshold = liveThreshold();
  const declaredHere = resolve();
  const declaredOnHost = existsSync(HOST_ROOT) ? resolve(HOST_ROOT) : undefined;
  const goal = wanted(start, declaredHere, declaredOnHost);
  const writable = mayWrite();
  const bridge = findBridge(here);
  const needed = threshold !== undefined && threshold > goal.value && !writable;
  const host = needed && bridge ? await askHost(bridge, signal) : undefined;
  return {
    threshold,
    wanted: goal,
    place: here,
    declaredHere,
    declaredOnHost,
    writable,
    bridge,
    host,
    network: whose(here, host),
  };
}

function whose(here: Place, host: Host | NoHost | undefined): Network {
  if (here.isHost) return "hosts";
  const ours = ourNetworkNamespace();
  if (ours === undefined || host === undefined || "problem" in host) return "unknown";
  return host.networkNamespace === ours ? "hosts" : "own";
}

/**
 * Opening is the kernel's own check (net_ctl_permissions(): CAP_NET_ADMIN over the network namespace) and changes
 * nothing. access(2) would leave the capabilities of a user other than root out of account.
 */
function mayWrite(): boolean {
  try {
    closeSync(openSync(FILE, constants.O_WRONLY));
    return true;
  } catch {
    return false;
  }
}
