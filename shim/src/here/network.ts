import { readlinkSync } from "node:fs";

/** Whether our network namespace is the host's. */
export type Network = "hosts" | "own" | "unknown";

/**
 * The inode of a process's network namespace, unique on the machine (namespaces(7)); undefined if it cannot be read.
 */
export function networkNamespaceOf(process: number | "self"): number | undefined {
  try {
    return inodeOf(readlinkSync(`/proc/${process}/ns/net`));
  } catch {
    return undefined;
  }
}

/** The inode in a namespace link's text, `net:[4026531833]`. */
function inodeOf(link: string): number | undefined {
  const digits = /^net:\[([1-9]\d{0,14})\]$/.exec(link)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
