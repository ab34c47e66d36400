import { type Flag, optionsOf } from "../../../../shim/lib/cli/arguments.js";
import { check as command } from "../../../../shim/lib/cli/check.js";
import { statuses } from "../../../../shim/lib/cli/help.js";
import {
  example,
  list,
  mdoc,
  optionList,
  page,
  seeAlso,
  sentences,
  statusList,
  synopsis,
  wideExample,
} from "../mdoc.js";
import { whatOf } from "./shared.js";

/** What there is to add to the options of --help. */
const OPTIONS: Readonly<Record<Flag<"check">, string>> = {
  "--start": "",
  "--via": mdoc`The names are those of
.Xr portshim 1 .`,
  "--user": mdoc`See
.Xr portshim 1 .`,
  "--json": mdoc`The same facts, for programs.
The field
.Va schema
is 1; fields can be added, and the number grows if one goes or changes its meaning.
.Va verdict
is
.Ql nothing\-to\-do ,
.Ql possible
or
.Ql impossible .`,
  "--bind": mdoc`The ports are the first one that is wanted, and 80 and 443 if they are not below it; they are bound on every address.
Processes of other users, or outside the container, cannot be seen.
The exit status is 2 if another process uses a port: portshim cannot give it to you.`,
  "--help": "",
};

export const check = page(
  "portshim-check",
  whatOf("check"),
  mdoc`
.Sh SYNOPSIS
.Nm portshim
.Cm check
${synopsis(optionsOf("check"))}

.Sh DESCRIPTION
${sentences(command.about)}
It reads the same facts and makes the same plan as
.Xr portshim 1
when it starts a command.
It asks the host for its network namespace, its programs, its threshold, and whether polkit runs.
That opens no prompt and starts nothing.

.Pp
The report shows
.Bl -bullet -compact
.It
the place, the network, and the way to the host;
.It
the threshold here and on the host, and the one that is wanted, with the file and line that ask for it;
.It
each route of
.Xr portshim 1 ,
and why it can be taken or not;
.It
what would run as root on the host, how long the result would last, and how to make it permanent;
.It
if there is no way, what to do instead;
.It
the host's firewall, if it can keep others from the port, and the command that lets them in.
.El

.Pp
A container with its own network has a threshold of its own, which decides what a server in the container can bind.
A published port
.Pq Ic podman run \-p 80:80
is bound on the host.
If that is done without root, the host's threshold decides.

.Sh OPTIONS
${optionList(optionsOf("check"), OPTIONS)}

.Sh ENVIRONMENT
The variables of the other options of
.Xr portshim 1
are checked too, because a start would refuse them.
${list([
  [
    "Ev NO_COLOR , TERM",
    mdoc`Colours appear on a terminal only, and not if
.Ev NO_COLOR
is set or
.Ev TERM
is
.Ql dumb .`,
  ],
])}

.Sh EXIT STATUS
${statusList(statuses(command.statuses))}

.Sh EXAMPLES
In a toolbox where
.Pa /etc/sysctl.d/80\-web.conf
asks for 80:
${wideExample(`
$ portshim check
  place         toolbox (/run/.toolboxenv)
  network       the host's
  host          asked through /usr/bin/flatpak-spawn
  ...
  wanted        80, asked for by /etc/sysctl.d/80-web.conf:2

  ✗ write       cannot write /proc/sys/net/ipv4/ip_unprivileged_port_start
  ✗ capability  the server cannot bind the port as it is
  ✗ nsenter     only for a container with its own network
  ✓ pkexec      the host can be asked through flatpak-spawn
  ✗ run0        only if the host has no pkexec, or with --via=run0
  ✗ sudo        only with --via=sudo
  ...
`)}
.Pp
Who uses the port:
${example("portshim check --bind --start=80")}
.Pp
In a script:
${example("portshim check --json | jq -r .verdict")}

.Sh SEE ALSO
${seeAlso(["portshim", "portshim-guard", "portshim-persist"], "sysctl.d 5")}

.Sh CAVEATS
That pkexec can be tried does not mean that it will succeed.
Three things show only when it is tried: whether a polkit agent runs that can open a prompt, whether polkit can be started if it
does not run yet, and whether polkit's rules allow it.
`,
);
