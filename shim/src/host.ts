import type { Bridge } from "./bridge.js";
import { type Ending, run } from "./child.js";
import { printable } from "./text.js";

/** What the host told us about itself. */
export interface Host {
  /** Inode of the network namespace that the host's commands run in. */
  readonly networkNamespace: number;
  /** Absolute paths, out of those asked for, at which the host has a program. */
  readonly programs: readonly string[];
}

/** The host could not be asked; `problem` is a sentence's middle that says why. */
export interface NoHost {
  readonly problem: string;
}

/** Where hosts keep pkexec. */
export const PKEXEC = "/usr/bin/pkexec";

/** Where hosts keep sysctl(8), the first that is there is used; the PATH of a bridge may lack all of them. */
export const SYSCTL = ["/usr/sbin/sysctl", "/sbin/sysctl", "/usr/bin/sysctl"] as const;

const NAMESPACE = "/proc/self/ns/net";

/** Milliseconds for a question that asks nobody for a password; measured at about 10 on an idle machine. */
const PATIENCE = 10_000;

/** Asks the host, in one round trip, for its network namespace and its programs. */
export async function askHost(bridge: Bridge, signal?: AbortSignal): Promise<Host | NoHost> {
  const question = ["/usr/bin/stat", "--dereference", "--format=%i %n", NAMESPACE, PKEXEC, ...SYSCTL];
  const ending = await run(bridge.command(question), PATIENCE, signal);
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
  return { networkNamespace, programs: [PKEXEC, ...SYSCTL].filter((path) => inodes.has(path)) };
}

function problem(ending: Ending, bridge: Bridge): string {
  const answer = printable(ending.stderr) || `it said nothing, with status ${ending.status}`;
  if (ending.timedOut) return `${bridge.name} did not answer within ${PATIENCE / 1000} seconds`;
  if (/autolaunch|Can't find bus/i.test(answer)) {
    return `${bridge.name} found no session bus here (${answer}); start the container from a login session`;
  }
  return `${bridge.name} answered: ${answer}`;
}

/** Whether a bridge command failed before the host ran anything: the status alone does not tell. */
export function bridgeFailed(ending: Ending): boolean {
  return /^(Portal call failed|Can't find bus|Failed to|flatpak-spawn:)|autolaunch/m.test(ending.stderr);
}
