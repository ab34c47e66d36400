import { closeSync, constants, existsSync, openSync } from "node:fs";
import { type Network, networkNamespaceOf } from "../here/network.js";
import { HOST_ROOT, type Place, place } from "../here/place.js";
import { liveThreshold, SETTING_FILE } from "../here/threshold.js";
import { type Bridge, findBridge } from "../host/bridge.js";
import { askHost, type Host, type NoHost } from "../host/host.js";
import type { Drop } from "../launcher/drop.js";
import { type Resolution, resolve } from "../sysctl/resolve.js";
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
  /** What the host's files will set at its next start, where we see them and they count here. */
  readonly afterRestart: Resolution | undefined;
  /** We may write the threshold ourselves. */
  readonly writable: boolean;
  /** The server is to be another user than we are, and this is how; undefined: it is not. */
  readonly drop: Drop | undefined;
  /** We may bind the lowest wanted port as we are; undefined: not asked, the threshold is low enough. */
  readonly mayBind: boolean | undefined;
  readonly bridge: Bridge | undefined;
  /** What the host answered; undefined: it was not asked, because there was no need or no bridge. */
  readonly host: Host | NoHost | undefined;
  /** Inode of our own network namespace. */
  readonly networkNamespace: number | undefined;
  /** Whose network namespace ours is. */
  readonly network: Network;
  /** The terminal, if there is one, is ours to ask on. */
  readonly ownTerminal: boolean;
}

/** What the facts are read for. */
export interface Query {
  /** The threshold asked for by option, 0–1024; undefined: sysctl.d decides. */
  readonly start: number | undefined;
  /** Who asks for `start`, for a sentence; undefined: the command line. */
  readonly asker?: string | undefined;
  readonly drop: Drop | undefined;
  /** The server holds CAP_NET_BIND_SERVICE, whatever this process holds. */
  readonly canBind: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** The terminal is ours to ask on; default: it is that of a program which calls the library. */
  readonly ownTerminal?: boolean;
  /** Ask the host, and whether the port may be bound, even where there is no need. */
  readonly thorough?: boolean;
}

/**
 * Reads the facts. The host is asked only where the threshold is above what is wanted and we can neither write it
 * ourselves nor bind the port as we are, unless the query is thorough.
 *
 * Throws PortshimError `bad-usage` (PORTSHIM_BRIDGE).
 */
export async function gather(query: Query): Promise<Facts> {
  const { start, asker, drop, env, signal, ownTerminal = false, thorough = false } = query;
  const where = place(env);
  const declaredHere = resolve();
  // What takes time and does not decide is left for later: the host needs time for its answer.
  const isHostsWord = start === undefined && declaredHere.declared === undefined;
  const hostsWord = isHostsWord ? declaredBy(where) : undefined;
  const asked = wanted(start, declaredHere, hostsWord, asker);
  const goal = asked.value;
  const threshold = liveThreshold();
  const high = threshold === undefined || threshold > goal;
  const writable = mayWrite();
  const bindable = high || thorough ? await canServerBind(query, goal, threshold) : undefined;
  const bridge = findBridge(where, env);
  const networkNamespace = networkNamespaceOf("self");
  const stuck = high && threshold !== undefined && !writable && !bindable;
  const asking = (stuck || thorough) && bridge ? askHost(bridge, where, thorough, signal) : undefined;
  const declaredOnHost = hostsWord ?? declaredBy(where);
  const hostsRestart = atBoot(where);
  const host = await asking;
  const network = whose(bridge, networkNamespace, host);
  const afterRestart = network === "hosts" ? hostsRestart : undefined;
  return {
    threshold,
    wanted: asked,
    place: where,
    declaredHere,
    declaredOnHost,
    afterRestart,
    writable,
    drop,
    mayBind: bindable,
    bridge,
    host,
    networkNamespace,
    network,
    ownTerminal,
  };
}

/** Whether the server can bind the lowest wanted port as it is. */
async function canServerBind(query: Query, goal: number, threshold: number | undefined): Promise<boolean> {
  if (!query.canBind) {
    if (threshold !== undefined && threshold > goal) return false;
    // One of Node's own file lets this process bind, but not the server.
    const { effectiveCapabilities } = require("../here/capabilities.js") as typeof import("../here/capabilities.js");
    if (effectiveCapabilities().has("net_bind_service")) return false;
  }
  const { mayBind } = require("../here/bind.js") as typeof import("../here/bind.js");
  // Even a capability may not count here: a container's root has it, but not over the host's network.
  return mayBind(Math.max(goal, 1));
}

/** What the host's files declare, seen from a container. */
function declaredBy({ isHost }: Place): Resolution | undefined {
  return existsSync(HOST_ROOT) && isHost !== "yes" ? resolve(HOST_ROOT) : undefined;
}

function atBoot({ hostRoot }: Place): Resolution | undefined {
  return hostRoot !== undefined && existsSync(hostRoot) ? resolve(hostRoot, new Map(), "boot") : undefined;
}

function whose(bridge: Bridge | undefined, ours: number | undefined, host: Host | NoHost | undefined): Network {
  if (isLocal(bridge)) return "hosts";
  if (ours === undefined || host === undefined || "problem" in host) return "unknown";
  return host.networkNamespace === ours ? "hosts" : "own";
}

/** What runs without a bridge runs here, and in our network namespace. */
export function isLocal(bridge: Bridge | undefined): boolean {
  return bridge !== undefined && bridge.path === undefined;
}

/**
 * Opening is the kernel's own check (net_ctl_permissions(): CAP_NET_ADMIN over the network namespace) and changes
 * nothing. access(2) would leave the capabilities of a user other than root out of account.
 */
function mayWrite(): boolean {
  try {
    closeSync(openSync(SETTING_FILE, constants.O_WRONLY));
    return true;
  } catch {
    return false;
  }
}
