import { SETTING } from "../here/threshold.js";
import { enumerated } from "../text.js";
import { checked } from "./elevation.js";

/** Our own table, so that it can be replaced and removed as a whole. */
export const TABLE = "inet portshim";

/** The file in which a person keeps the rules: in one of its own they are replaced, and not added to. */
export const KEPT = "/etc/portshim.nft";

/**
 * Where a DHCPv6 client listens (RFC 8415, 7.2). It asks all servers at once, by multicast, and so their answers are no
 * answers for the kernel.
 */
export const DHCPV6 = 546;

/** What nft(8) is given to load the rules from its stdin. With -e it is not silent if that worked. */
export const APPLY = ["-e", "-f", "-"] as const;

/** To remove them, which is no error if there are none: as one command, so that polkit's prompt shows all of it. */
export const REMOVE = ["-e", `table ${TABLE};delete table ${TABLE}`] as const;

/** What is closed, and what is not. */
export interface Guarded {
  /** The first port that the threshold opens, 1–1023. */
  readonly first: number;
  /** The ports that are wanted. */
  readonly ports: readonly number[];
  /** What is closed between first and 1023: first and last port of each range. */
  readonly closed: readonly (readonly [number, number])[];
}

/** A socket that can be reached from outside, on a port that would be closed. */
export interface Service {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** Who made it. */
  readonly uid: number;
}

/** As nft(8) reads it from its stdin. No dollar: systemd-run, which may hand it on, would take that for a variable. */
export function ruleset({ first, ports, closed }: Guarded, services: readonly Service[]): string {
  const ranges = closed.map(([low, high]) => (low === high ? checked(low) : `${checked(low)}-${checked(high)}`));
  const open = ports.length > 0 ? `, but for ${enumerated(ports.map(checked))}` : "";
  const accepts = (["tcp", "udp"] as const).flatMap((protocol) => {
    const ofRoot = services.filter((one) => one.protocol === protocol && one.uid === 0);
    const list = ofRoot.map(({ port }) => checked(port)).join(", ");
    return list === "" ? [] : [`\t\t${protocol} dport { ${list} } accept\n`];
  });
  return `# Written by portshim guard. With ${SETTING}=${checked(first)} any user can bind ports ${checked(first)} to 1023:
# these rules close them to other machines${open}. To undo it: portshim guard --remove

# What was loaded before goes, if there was anything.
table ${TABLE}
delete table ${TABLE}

table ${TABLE} {
	chain input {
		type filter hook input priority filter; policy accept;

		# Answers to this machine, and what it sends to itself.
		ct state established,related accept
		iif "lo" accept

		# Answers to its DHCPv6 client, which come from another address than the one that was asked.
		ip6 daddr fe80::/10 udp dport ${DHCPV6} accept
${accepts.length > 0 ? `\n\t\t# Services of root that were there when this was written.\n${accepts.join("")}` : ""}
		# All protocols whose ports the threshold opens.
		meta l4proto { tcp, udp, sctp, dccp, udplite } th dport { ${ranges.join(", ")} } reject
	}
}
`;
}
