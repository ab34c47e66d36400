import { readdirSync, readlinkSync } from "node:fs";
import { printable } from "../text.js";
import { contentOf } from "./file.js";
import { waiting } from "./socket.js";

/** A process that listens on a port. */
export interface Holder {
  readonly pid: number;
  /** Its name, at most 15 bytes (proc_pid_comm(5)). */
  readonly name: string;
}

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

/** Sockets as the links of their descriptors show them, `socket:[12345]`. */
function listening(table: string, port: number): string[] {
  return waiting(contentOf(table), "tcp")
    .filter((socket) => socket.port === port)
    .map(({ inode }) => `socket:[${inode}]`);
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
