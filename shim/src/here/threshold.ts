import { readFileSync } from "node:fs";
import { PortshimError } from "../error.js";
import { printable } from "../text.js";

/** The setting's path below /proc/sys. Ports below its value need CAP_NET_BIND_SERVICE (ip-sysctl.rst). */
export const KEY = "net/ipv4/ip_unprivileged_port_start";

/** The setting as people and sysctl(8) write it. */
export const SETTING = KEY.replaceAll("/", ".");

/** The setting's file, which belongs to the network namespace of the process that opens it. */
export const SETTING_FILE = `/proc/sys/${KEY}`;

/** A new network namespace's threshold (PROT_SOCK in the kernel's net/ipv4/af_inet.c). */
export const KERNEL_DEFAULT = 1024;

/** The web's first port, and the threshold that is wanted if nothing asks for another. */
export const WEB = 80;

/** The largest threshold that the kernel accepts: the last port. */
export const LARGEST = 65535;

/**
 * The threshold in our own network namespace: an integer 0–65535, the first port that an ordinary user can bind.
 * Undefined if the kernel has no such setting (Linux before 4.11, gVisor), or /proc is not mounted.
 *
 * Throws PortshimError `no-way` if that cannot be told, for lack of descriptors or memory, or by an input error.
 */
export function liveThreshold(file = SETTING_FILE): number | undefined {
  try {
    // In one read: files below /proc/sys answer only at offset 0.
    const text = readFileSync(file, "latin1");
    return /^\d{1,5}\n$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (SHORTAGES.includes(code)) throw new PortshimError("no-way", printable(message));
    return undefined;
  }
}

/** What says nothing of the kernel. */
const SHORTAGES = ["EMFILE", "ENFILE", "ENOMEM", "EIO"];

/** The first port for outgoing connections; if it cannot be read, the kernel's default. */
function localPortRangeStart(): number {
  try {
    const first = /^(\d{1,5})\s/.exec(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1"))?.[1];
    return first === undefined ? 32768 : Number(first);
  } catch {
    return 32768;
  }
}

/**
 * The number that the kernel would set if `text` were written to the setting; undefined if it would answer EINVAL.
 * `text` is bytes (latin1).
 *
 * Source: proc_get_long() in kernel/sysctl.c (blanks, then a number in C's notation, then a blank or the end; the rest
 * is ignored) and ipv4_privileged_ports() in net/ipv4/sysctl_net_ipv4.c (0–65535, not above the local port range).
 */
export function kernelTakes(text: string): number | undefined {
  const number = /^[\t-\r \xa0]*(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?=[ \t\n]|$)/.exec(text);
  if (!number) return undefined;
  const [, sign = "", digits = ""] = number;
  // The kernel copies at most 21 bytes, starting at the number, and rejects a number that fills them.
  if (sign.length + digits.length >= 21) return undefined;
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (sign === "-" && value !== 0) return undefined;
  return value <= Math.min(LARGEST, localPortRangeStart()) ? value : undefined;
}

/** Whether the threshold alone lets a server bind ports from `wanted` up; false if the kernel has none. */
export function isSatisfied(threshold: number | undefined, wanted: number): boolean {
  return threshold !== undefined && threshold <= wanted;
}
