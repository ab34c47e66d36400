import { type Flag, optionsOf } from "../../../../shim/lib/cli/arguments.js";
import { guard as command } from "../../../../shim/lib/cli/guard.js";
import { statuses } from "../../../../shim/lib/cli/help.js";
import { APPLY, REMOVE } from "../../../../shim/lib/plan/ruleset.js";
import { commandLine } from "../../../../shim/lib/text.js";
import { example, list, mdoc, optionList, page, seeAlso, sentences, statusList, wideExample } from "../mdoc.js";
import { CHANGING, whatOf } from "./shared.js";

/** What there is to add to the options of --help. */
const OPTIONS: Readonly<Record<Flag<"guard">, string>> = {
  ...CHANGING,
  "--start": mdoc`The ports from the threshold to 1023 are closed: from the one in force, or from this one if it is lower.`,
  "--ports": "",
  "--apply": mdoc`They replace those that were loaded before.
It says how to make them permanent.`,
  "--remove": "It is no error if there are none.",
};

export const guard = page(
  "portshim-guard",
  whatOf("guard"),
  mdoc`
.Sh SYNOPSIS
.Nm portshim
.Cm guard
.Op Fl Fl ports Ns = Ns Ar PORT,...
.Op Ar option ...
.Nm portshim
.Cm guard
.Fl Fl apply
.Op Fl Fl ports Ns = Ns Ar PORT,...
.Op Ar option ...
.Nm portshim
.Cm guard
.Fl Fl remove
.Op Ar option ...

.Sh DESCRIPTION
A threshold of 80 lets any local user bind not only 80 and 443, but every port from 80 to 1023.
.Pp
${sentences(command.about)}
Without
.Fl Fl apply
nobody is asked.

.Pp
The rules are a table of their own,
.Ql inet portshim .
To load or to remove them root is asked to run one of these, the first with the rules on its standard input:
${example([APPLY, REMOVE].map((argv) => commandLine(["/usr/sbin/nft", ...argv])).join("\n"))}

.Ss What is closed, and what stays open
The ports from the threshold to 1023 are closed for TCP, UDP, SCTP, DCCP and UDP-Lite, over IPv4 and IPv6; a connection is refused.
These stay open:
.Bl -bullet
.It
the ports of
.Fl Fl ports ;
.It
ports on which other machines can reach a service of root now, which are named.
They stay open after the service has stopped, so run
.Ic portshim guard
again when a service comes or goes.
A service of another user is named, and closed;
.It
what this machine sends to itself, answers to its own connections, and its DHCPv6 client.
.El
.Pp
Ports below the threshold are not touched, such as 22 for
.Xr ssh 1 ,
nor is what the host forwards, such as ports that docker or rootful podman publish.
Containers and virtual machines with their own network are other machines.

.Ss How long it lasts
Until the host reboots, or somebody flushes the rules of nftables.
To make it permanent, run these two lines on the host (on Fedora with
.Pa /etc/sysconfig/nftables.conf ) ,
and the first one again after a later
.Fl Fl apply :
${wideExample(`
sudo nft list table inet portshim | sudo tee /etc/portshim.nft
echo 'include "/etc/portshim*.nft"' | sudo tee -a /etc/nftables.conf
`)}
.Pp
Then enable
.Pa nftables.service .
Do not do that with firewalld or ufw, whose rules nftables.service flushes.

.Sh OPTIONS
${optionList(optionsOf("guard"), OPTIONS)}

.Sh FILES
${list([["Pa /etc/portshim.nft", "Where a person keeps the rules on the host.\nSee\n.Sx How long it lasts ."]])}

.Sh EXIT STATUS
${statusList(statuses(command.statuses))}

.Sh EXAMPLES
Print the rules, and what they close on this host:
${example("portshim guard")}
.Pp
Load them, and leave 80, 443 and 853 open:
${example("portshim guard --apply --ports=80,443,853")}
.Pp
Load them by hand:
${example("portshim guard --quiet | sudo nft -f -")}
.Pp
See whether they are in force, which only root can:
${example("sudo nft list table inet portshim")}

.Sh SEE ALSO
${seeAlso(["portshim", "portshim-check", "portshim-persist"], "nft 8")}

.Sh CAVEATS
Local users can still bind these ports: a server that listens on 500 still answers on this machine.
To prevent that, keep the threshold, and use a capability or socket activation.

.Pp
The rules close ports; they do not open what another firewall closes.
If one does, as far as that can be seen, it is named, with the command that opens the wanted ports there.
`,
);
