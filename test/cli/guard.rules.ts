/** What guard prints at 80 for ports 80 and 443, if root has services on tcp 111 and 631 and on udp 631. */
export const WEB_RULES = `# Written by portshim guard. With net.ipv4.ip_unprivileged_port_start=80 any user can bind ports 80 to 1023:
# these rules close them to other machines, but for 80 and 443. To undo it: portshim guard --remove

# What was loaded before goes, if there was anything.
table inet portshim
delete table inet portshim

table inet portshim {
	chain input {
		type filter hook input priority filter; policy accept;

		# Answers to this machine, and what it sends to itself.
		ct state established,related accept
		iif "lo" accept

		# Answers to its DHCPv6 client, which come from another address than the one that was asked.
		ip6 daddr fe80::/10 udp dport 546 accept

		# Services of root that were there when this was written.
		tcp dport { 111, 631 } accept
		udp dport { 631 } accept

		# All protocols whose ports the threshold opens.
		meta l4proto { tcp, udp, sctp, dccp, udplite } th dport { 81-442, 444-1023 } reject
	}
}
`;
