/** A socket that others can send to, as /proc/net shows it (proc_net(5)). */
export interface Socket {
  /** 0–65535. */
  readonly port: number;
  /** It takes nothing but what this machine sends. */
  readonly isLoopback: boolean;
  /** Who made it. A service may have become another user since. */
  readonly uid: number;
  readonly inode: number;
}

/** The state in which a protocol's socket waits for others: LISTEN, and for UDP not connected (include/net/tcp_states.h). */
const WAITING = { tcp: "0A", udp: "07" } as const;

/** 127.0.0.0/8, ::1, and the first within IPv6; on little-endian machines each word of an address is shown backwards. */
const LOOPBACK = /^([0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F)$/;

/** The sockets that wait for others, in the text of /proc/net/tcp, tcp6, udp or udp6. */
export function waiting(table: string, protocol: keyof typeof WAITING): Socket[] {
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , uid, , inode] = line.trim().split(/\s+/);
    const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
    if (address === undefined || port === undefined || state !== WAITING[protocol]) return [];
    const isLoopback = LOOPBACK.test(address);
    return { port: Number.parseInt(port, 16), isLoopback, uid: Number(uid), inode: Number(inode) };
  });
}
