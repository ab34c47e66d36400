import { readdirSync, readlinkSync } from "node:fs";
import { contentOf, printable } from "../text.js";

/** A process that listens on a port. */
export interface Holder {
  readonly pid: number;
  /** Its name, at most 15 bytes (proc_pid_comm(5)). */
  readonly name: string;
}

/** State LISTEN in /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = "0A";

/**
 * Who listens on TCP `port` in our network namespace, as far as we can see: other users' processes hide their
 * descriptors, and processes outside our PID namespace are invisible. Undefined: nobody listens.
 */
export function holders(port: number): Holder[] | undefined {
  const sockets = new Set(["tcp", "tcp6"].flatMap((table) => listening(`/proc/net/${table}`, port)));
  if (sockets.size === 0) return undefined;
  const pids = list("/proc").filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => list(`/proc/${pid}/fd`).some((fd) => sockets.has(link(`/proc/${pid}/fd/${fd}`))))
    .map((pid) => ({ pid: Number(pid), name: printable(contentOf(`/proc/${pid}/comm`)) }));
}

/** Listening sockets, in the form of their descriptors' links: `socket:[12345]`. Columns: proc_net(5). */
function listening(table: string, port: number): string[] {
  return contentOf(table)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => state === LISTEN && Number.parseInt(local.split(":")[1] ?? "", 16) === port)
    .map((columns) => `socket:[${columns[9]}]`);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
