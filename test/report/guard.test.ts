import * as assert from "uvu/assert";
import type { Guarded, Service } from "../../shim/lib/plan/ruleset.js";
import * as report from "../../shim/lib/report/guard.js";
import { suite } from "../suite.js";

const test = suite("what guard says");
const NAME = "net.ipv4.ip_unprivileged_port_start";
const LIST = "sudo nft list table inet portshim";
const UNTIL = "The rules are in force until the host reboots";
const UNDO = "To undo it:\n    portshim guard --remove";
const LOAD = "To load them there:\n    portshim guard --apply --ports=80";
const TEE = `${UNTIL}. To keep them, run this on the host:\n    ${LIST} | sudo tee /etc/portshim.nft`;

const UFW = { name: "ufw", closes: "closes much", remedy: "sudo ufw allow 80,443/tcp" };
const WEB: Guarded = {
  first: 80,
  ports: [80, 443],
  closed: [
    [81, 442],
    [444, 444],
  ],
};
const SERVICES: readonly Service[] = [
  { protocol: "tcp", port: 111, uid: 0 },
  { protocol: "udp", port: 500, uid: 1000 },
];

const TABLE: readonly (readonly [what: string, says: string, expected: string])[] = [
  [
    "--remove alone",
    report.REMOVE_ALONE,
    "--remove takes all the rules away, and takes no --apply, --ports or --start",
  ],
  ["all are wanted", report.nothingIsOpen(1000), "Nothing to do: every port from 1000 to 1023 is wanted."],
  [
    "none is open",
    report.nothingIsOpen(1024),
    `Nothing to do: with ${NAME}=1024 no port below 1024 can be bound without privileges.`,
  ],
  [
    "what they do",
    report.notes(WEB, SERVICES, 80, UFW),
    `Any user can bind ports 80 and up. These rules close ports 81-442 and 444 to other machines. Still open:
    the wanted ports: 80 and 443
    services of root: tcp 111
    this machine to itself, answers to its own connections, and its DHCPv6 client (udp 546)
Closed, though in use: udp 500 (user 1000). To leave one open, name it with --ports.
The host runs ufw, which closes much.
To open 80 and 443 there, run this on the host:
    sudo ufw allow 80,443/tcp`,
  ],
  [
    "what they would do",
    report.notes(WEB, [], 1024, undefined),
    `Once ${NAME} is 80, any user can bind ports 80 and up. These rules close ports 81-442 and 444 to other machines. Still open:
    the wanted ports: 80 and 443
    services of root: none now
    this machine to itself, answers to its own connections, and its DHCPv6 client (udp 546)`,
  ],
  [
    "not seen",
    report.howToLoad(undefined, " --ports=80"),
    `Only root can see whether the host has such rules already: ${LIST}\n${LOAD}`,
  ],
  ["there", report.howToLoad(true, " --ports=80"), `The host has table inet portshim already.\n${LOAD}`],
  ["not there", report.howToLoad(false, " --ports=80"), `The host has no table inet portshim.\n${LOAD}`],
  ["about to load", report.aboutToLoad("a\n\nb\n"), "Loading these rules on the host:\n    a\n\n    b"],
  ["would load", report.wouldLoad("a\n"), "Would load these rules on the host:\n    a"],
  ["by hand, here", report.loadByHand("", true), "Run this:\n    portshim guard | sudo nft -f -"],
  [
    "by hand, on the host",
    report.loadByHand(" --ports=80", false),
    "Run this here, then on the host in the same folder:\n    portshim guard --ports=80 >portshim.nft\n    sudo nft -f portshim.nft",
  ],
  ["loaded", report.loaded(true, ["x"]), `Done.\nx\n${UNDO}`],
  ["loaded, not seen", report.loaded(false, []), `Done, as nft reports. Only root can see the rules: ${LIST}\n${UNDO}`],
  ["beside a firewall", report.endsWith(UFW), `${UNTIL}; then ufw closes what it closes now.`],
  [
    "on NixOS",
    report.KEEP_ON_NIXOS,
    `${UNTIL}. To keep them, add them to networking.nftables in the host's configuration.`,
  ],
  ["kept already", report.keepIn(undefined).join("\n"), TEE],
  [
    "to keep",
    report.keepIn("/etc/nftables.conf").join("\n"),
    `${TEE}\n    echo 'include "/etc/portshim*.nft"' | sudo tee -a /etc/nftables.conf && sudo systemctl enable nftables`,
  ],
  ["nothing to remove", report.NOTHING_TO_REMOVE, "Nothing to do: the host has no table inet portshim."],
  ["about to remove", report.ABOUT_TO_REMOVE, "Removing table inet portshim on the host"],
  ["would remove", report.WOULD_REMOVE, "Would remove table inet portshim on the host"],
  ["remove by hand", report.removeByHand(["-e", "a b"]), "Run this on the host:\n    sudo nft -e 'a b'"],
  ["removed", report.removed(false), "Done. The host has no table inet portshim now."],
  [
    "removed, but kept",
    report.removed(true),
    "Done. The host has no table inet portshim now, until it reboots: /etc/portshim.nft is still there. Run this on the host:\n    sudo rm /etc/portshim.nft",
  ],
  ["not loaded", report.untrue(true), "it reports success, but there is no table inet portshim"],
  ["not removed", report.untrue(false), "it reports success, but there is a table inet portshim"],
  ["sockets", report.cannotList("no"), "cannot list the sockets of the host: no"],
];
for (const [what, says, expected] of TABLE) test(what, () => assert.is(says, expected));

test.run();
