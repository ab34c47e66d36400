import type { Bridge } from "./bridge.js";
import { type Ending, run } from "./child.js";
import { printable } from "./text.js";

/** What the host told us about itself. */
export interface Host {
  /** Inode of the network namespace that the host's commands run in. */
  readonly networkNamespace: number;
  /** Which of PROGRAMS the host has. */
  readonly programs: readonly string[];
}

/** The host could not be asked; `problem` is a sentence's middle that says why. */
export interface NoHost {
  readonly problem: string;
}

/** Where hosts keep what a route may need; a bridge's PATH may lack any of it. */
export const PKEXEC = "/usr/bin/pkexec";
export const RUN0 = "/usr/bin/run0";
export const SUDO = "/usr/bin/sudo";
export const PODMAN = "/usr/bin/podman";
export const NSENTER = "/usr/bin/nsenter";
/** sysctl(8): the first that is there is used. */
export const SYSCTL = ["/usr/sbin/sysctl", "/sbin/sysctl", "/usr/bin/sysctl"] as const;

const PROGRAMS: readonly string[] = [PKEXEC, RUN0, SUDO, PODMAN, NSENTER, ...SYSCTL];

const NAMESPACE = "/proc/self/ns/net";

/** Milliseconds for a question that asks nobody for a password; measured at about 10 on an idle machine. */
const PATIENCE = 10_000;

/** Asks the host, in one round trip, for its network namespace and its programs. */
export async function askHost(bridge: Bridge, signal?: AbortSignal): Promise<Host | NoHost> {
  const question = ["/usr/bin/stat", "--dereference", "--format=%i %n", NAMESPACE, ...PROGRAMS];
  const ending = await run(bridge.command(question), { timeout: PATIENCE, signal, identity: bridge.identity });
  return read(ending, bridge);
}

function read(ending: Ending, bridge: Bridge): Host | NoHost {
  // stat(1) exits 1 when one of its files is missing, and still tells of the others.
  const inodes = new Map<string, number>();
  for (const line of ending.stdout.split("\n")) {
    const [, inode, path] = /^([1-9]\d{0,14}) (\/[\w./-]+)$/.exec(line) ?? [];
    if (inode !== undefined && path !== undefined) inodes.set(path, Number(inode));
  }
  const networkNamespace = inodes.get(NAMESPACE);
  if (networkNamespace === undefined) return { problem: problem(ending, bridge) };
  return { networkNamespace, programs: PROGRAMS.filter((path) => inodes.has(path)) };
}

/** How a bus that cannot be used answers, and what mends it. */
const BUS_TROUBLE: readonly (readonly [answer: RegExp, problem: string])[] = [
  [
    /Permission denied|AccessDenied|ServiceUnknown|not permitted|SELinux/i,
    "the session bus refuses us; start the container with --security-opt label=disable",
  ],
  [
    /connection is closed|closed the connection|EOF/i,
    "the session bus is another user's; start as the user it belongs to",
  ],
  [
    /autolaunch|Can't find bus|Could not connect|No such file/i,
    "there is no session bus here; start the container from a login session, with its bus: -v $XDG_RUNTIME_DIR/bus:$XDG_RUNTIME_DIR/bus -e DBUS_SESSION_BUS_ADDRESS",
  ],
];

function problem(ending: Ending, { name }: Bridge): string {
  if (ending.timedOut) return `${name} did not answer within ${PATIENCE / 1000} seconds`;
  const answer = printable(ending.stderr) || `nothing, with status ${ending.status}`;
  const [, known] = BUS_TROUBLE.find(([pattern]) => pattern.test(answer)) ?? [];
  return known === undefined ? `${name} answered: ${answer}` : `${known} (${name} answered: ${answer})`;
}

/** Whether a bridge command failed before the host ran anything: the status alone does not tell. */
export function bridgeFailed(ending: Ending): boolean {
  return /^(Portal call failed|Can't find bus|Failed to|flatpak-spawn:|host-spawn:)|autolaunch/m.test(ending.stderr);
}
