import { writeSync } from "node:fs";

import type { User } from "../here/user.js";

/** The descriptor of ours on which the launcher waits for a reply. */
export const LAUNCHER = 3;

/** What the launcher is told; with neither `start` nor `refused` it needs no reply. */
export interface Reply {
  /** The command is to be started; else the launcher ends with our exit status. */
  readonly start?: boolean;
  /** Somebody said no: it counts for everybody who waits for the lock. */
  readonly refused?: boolean;
  /** Whom the command is to run as, if that is to change, and whether it keeps CAP_NET_BIND_SERVICE. */
  readonly user?: User | undefined;
  readonly keepsPort?: boolean;
}

const START = 1;
const REFUSED = 2;
const HAS_USER = 4;
const KEEPS_PORT = 8;

/** Most supplementary groups that the launcher takes. */
export const MOST_GROUPS = 1024;

/** Most bytes of HOME that the launcher takes, its final NUL included. */
export const LONGEST_HOME = 4096;

/** The bytes of `struct reply` in launcher.c: 32-bit numbers (every machine it is built for is little-endian), then HOME. */
function encode({ start = false, refused = false, user, keepsPort = false }: Reply): Buffer {
  const bytes = Buffer.alloc(4 * (4 + MOST_GROUPS) + LONGEST_HOME);
  const flags = (start ? START : 0) | (refused ? REFUSED : 0) | (user ? HAS_USER : 0) | (keepsPort ? KEEPS_PORT : 0);
  const { uid, gid, groups, home } = user ?? { uid: 0, gid: 0, groups: [], home: "" };
  [flags, uid, gid, groups.length, ...groups].forEach((number, index) => {
    bytes.writeUInt32LE(number, 4 * index);
  });
  bytes.write(home, bytes.length - LONGEST_HOME, LONGEST_HOME - 1);
  return bytes;
}

/** Tells the launcher. */
export function send(reply: Reply): void {
  try {
    writeSync(LAUNCHER, encode(reply));
  } catch {
    // It has been killed, and nobody waits.
  }
}
