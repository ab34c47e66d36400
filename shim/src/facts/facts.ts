import { closeSync, constants, existsSync, openSync } from "node:fs";

import { HOST_ROOT, type Network, networkNamespaceOf, type Place, place } from "../here/place.js";
import { liveThreshold, SETTING_FILE, WEB } from "../here/threshold.js";
import { type Bridge, findBridge, isLocal } from "../host/bridge.js";
import { askHost, type Host, type NoHost } from "../host/host.js";
import type { Resolution } from "../sysctl/resolve.js";

/** The threshold to reach, and who asked for it. */
export interface Wanted {
  /** 0–65535. */
  readonly value: number;
  /** For a sentence: "/etc/sysctl.d/80-web.conf:1", "--start", "This server"; undefined: nobody asked, it is 80. */
  readonly by: string | undefined;
  /** A sysctl.d file asks for it. */
  readonly fromFile: boolean;
}

/** Everything the plan is made from, read once. */
export interface Facts {
  /** The threshold in force, 0–65535; undefined if the kernel has no such setting. */
  readonly threshold: number | undefined;
  readonly wanted: Wanted;
  readonly place: Place;
  /** What the sysctl.d files here declare. */
  readonly declaredHere: Resolution;
  /** What the host's files declare, if they can be seen under /run/host. */
  readonly declaredOnHost: Resolution | undefined;
  /** What the host's files will set at its next boot, if we can read them and share its network; read when it is first needed. */
  readonly afterRestart: Resolution | undefined;
  /** We can write the threshold ourselves. */
  readonly writable: boolean;
  /** The server can bind the lowest wanted port as it is; undefined: not asked, the threshold is low enough. */
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
  readonly startBy?: string | undefined;
  /** The server will hold CAP_NET_BIND_SERVICE, whatever this process holds. */
  readonly holdsCapability: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** Stops it: with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The terminal is ours to ask on; default: it is that of a program which calls the library. */
  readonly ownTerminal?: boolean;
  /** Ask the host, and whether the port can be bound, even if there is no need. */
  readonly thorough?: boolean;
}

/**
 * Reads the facts. The host is asked only if the threshold is above what is wanted and we can neither write it
 * ourselves nor bind the port as we are, unless the query is thorough.
 *
 * Throws PortshimError `bad-usage` (PORTSHIM_BRIDGE) and `no-way` (the threshold cannot be read for now), and the
 * signal's reason once that aborts.
 */
export async function gather(query: Query): Promise<Facts> {
  const { start, startBy, env, holdsCapability, signal, ownTerminal = false, thorough = false } = query;
  const where = place(env);
  // What does not decide whether the host is asked is read later: the host needs time for its answer.
  const here = once(() => require("../sysctl/resolve.js").resolve());
  const onHost = once(() => declaredBy(where));
  const boot = once(() => atBoot(where));
  const asked = wanted(start, here, onHost, startBy);
  const goal = asked.value;
  const threshold = liveThreshold();
  const high = threshold === undefined || threshold > goal;
  const writable = mayWrite();
  const cannotBind = high && threshold !== undefined && !holdsCapability;
  const bindable = cannotBind ? false : high || thorough ? await canServerBind(goal, holdsCapability) : undefined;
  const bridge = findBridge(where, env);
  const networkNamespace = networkNamespaceOf("self");
  const stuck = high && threshold !== undefined && !writable && !bindable;
  const asking = (stuck || thorough) && bridge ? askHost(bridge, where, thorough, signal) : undefined;
  // If an option says what is wanted, nobody need read them.
  if (start === undefined) onHost();
  const host = await asking;
  signal?.throwIfAborted();
  const network = whose(bridge, networkNamespace, host);
  return {
    threshold,
    wanted: asked,
    place: where,
    get declaredHere() {
      return here();
    },
    get declaredOnHost() {
      return onHost();
    },
    get afterRestart() {
      return network === "hosts" ? boot() : undefined;
    },
    writable,
    mayBind: bindable,
    bridge,
    host,
    networkNamespace,
    network,
    ownTerminal,
  };
}

/**
 * The threshold that is wanted: `start`, which `startBy` asks for (--start or PORTSHIM_START, or a program), else what
 * the sysctl.d files here declare, else the host's, else 80.
 */
export function wanted(
  start: number | undefined,
  here: () => Resolution,
  host: () => Resolution | undefined,
  startBy = "--start",
): Wanted {
  if (start !== undefined) return { value: start, by: startBy, fromFile: false };
  const declared = here().declared ?? host()?.declared;
  if (declared?.value === undefined) return { value: WEB, by: undefined, fromFile: false };
  return { value: declared.value, by: `${declared.file}:${declared.line}`, fromFile: true };
}

/** Reads it when it is first asked for. */
function once<T>(read: () => T): () => T {
  let found: { value: T } | undefined;
  return () => {
    found ??= { value: read() };
    return found.value;
  };
}

/** Whether the server can bind the lowest wanted port as it is. */
async function canServerBind(goal: number, holdsCapability: boolean): Promise<boolean> {
  // One of Node's own file lets this process bind, but not the server.
  const isOurs = !holdsCapability && require("../here/capabilities.js").effectiveCapabilities().has("net_bind_service");
  // Even a capability can be of no use here: a container's root has it, but not over the host's network.
  return !isOurs && require("../here/bind.js").mayBind(Math.max(goal, 1));
}

/** What the host's files declare, seen from a container. */
function declaredBy({ isHost }: Place): Resolution | undefined {
  return existsSync(HOST_ROOT) && isHost !== "yes" ? require("../sysctl/resolve.js").resolve(HOST_ROOT) : undefined;
}

function atBoot({ hostRoot }: Place): Resolution | undefined {
  return hostRoot !== undefined && existsSync(hostRoot)
    ? require("../sysctl/resolve.js").resolve(hostRoot, new Map(), "boot")
    : undefined;
}

function whose(bridge: Bridge | undefined, ours: number | undefined, host: Host | NoHost | undefined): Network {
  if (isLocal(bridge)) return "hosts";
  if (ours === undefined || host === undefined || "problem" in host) return "unknown";
  return host.networkNamespace === ours ? "hosts" : "own";
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
