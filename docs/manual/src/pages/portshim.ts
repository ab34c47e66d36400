import { type Flag, optionsOf } from "../../../../shim/lib/cli/arguments.js";
import { COMMANDS } from "../../../../shim/lib/cli/commands.js";
import { statuses } from "../../../../shim/lib/cli/help.js";
import type { RouteName } from "../../../../shim/lib/contract.js";
import { SETTING, SETTING_FILE } from "../../../../shim/lib/here/threshold.js";
import { ROUTES } from "../../../../shim/lib/plan/route.js";
import { example, list, mdoc, optionList, page, plain, seeAlso, sentences, statusList } from "../mdoc.js";

/** What there is to add to the options of --help. */
const OPTIONS: Readonly<Record<Flag<"start">, string>> = {
  "--start": mdoc`See
.Sx Which threshold .`,
  "--via": mdoc`The names are those of
.Sx ROUTES ,
with commas between them.`,
  "--user": mdoc`Names or numbers; a number is always an id.
.Ar USER :
keeps the supplementary groups,
.Ar :GROUP
keeps the user.
.Ev HOME
becomes the user's.
The server starts with
.Em no_new_privs ,
and keeps
.Dv CAP_NET_BIND_SERVICE
only if the threshold stays above its port.
.Ql 0
keeps root as it is.
If this fails the server does not start, not even with
.Fl Fl optional .`,
  "--optional": mdoc`It never covers
.Fl Fl user :
a server that was to drop root does not run as root.`,
  "--timeout": mdoc`From 1 to 86400.
The prompt of
.Xr run0 1
closes after 25 seconds in any case.`,
  "--dry-run": mdoc`No
.Ar command
is needed.
The exit status is 69 if there is no way from here.`,
  "--quiet": "",
  "--verbose": "",
  "--help": mdoc`So does
.Fl h .`,
  "--version": "",
};

/** When each route can be taken, and what else there is to know about it. */
const ROUTE_NOTES: Readonly<Record<RouteName, string>> = {
  write: mdoc`Taken if portshim has
.Dv CAP_NET_ADMIN
over its network namespace, as root has on the host and in a privileged container with its own network.`,
  capability: mdoc`Taken if the server will hold the capability, ambient or as root, and this network namespace accepts it.`,
  nsenter: mdoc`Taken in a rootless podman container with its own network and a way to the host, where it runs
.Ic podman unshare
and
.Xr nsenter 1 .`,
  pkexec: mdoc`Taken if the host has the same network namespace, which it is asked for first.`,
  run0: mdoc`Taken also if
.Fl Fl via
names it.
Needs systemd 256 or later on the host.`,
  sudo: mdoc`Taken only if
.Fl Fl via
names it.`,
};

const variables = optionsOf("start").flatMap(({ variable, flag }) => {
  const same = `The same as\n.Fl Fl ${plain(flag.slice(2))} .`;
  return variable === undefined ? [] : [[`Ev ${variable}`, same] as const];
});

export const portshim = page(
  "portshim",
  "let an ordinary user's server bind ports below 1024",
  mdoc`
.Sh SYNOPSIS
.Nm
.Op Ar option ...
.Cm \-\-
.Ar command
.Op Ar argument ...
${COMMANDS.map(({ name }) => `.Nm\n.Cm ${name}\n.Op Ar option ...`).join("\n")}

.Sh DESCRIPTION
.Nm
makes sure that
.Ar command
can bind its ports, then becomes
.Ar command .

.Pp
Linux does not let ordinary users bind ports below the value of
.Va ${SETTING} ,
the threshold, which is 1024 unless somebody lowers it.
In a toolbox or a distrobox the network is the host's, and only root on the host can lower it.
A file in
.Xr sysctl.d 5
that sets it there is never applied.

.Pp
If the threshold is too high,
.Nm
has the host lower it.
It prints the command that will run as root there, before the one password prompt, and reads the threshold again afterwards.
If the threshold is low enough already,
.Nm
asks nobody, prints nothing, and does not start Node.js.
It never raises the threshold, and never lowers it further than was asked for.

.Pp
A container with its own network has its own threshold.
The host is asked to change its value only if it has the same network namespace.

.Ss Which threshold
The first of these counts:
.Bl -enum -compact
.It
.Fl Fl start ,
else
.Ev PORTSHIM_START ;
.It
what the
.Xr sysctl.d 5
files set where
.Nm
runs, read as
.Xr systemd\-sysctl 8
reads them, and
.Pa /etc/sysctl.conf
last;
.It
what the host's files set, if they can be seen in
.Pa /run/host ;
.It
80.
.El
.Pp
A value that the kernel would refuse is reported with its file and line, and ignored.

.Ss What the command is given
Exactly what
.Nm
was given: the same process, arguments, environment, file descriptors, signal mask and dispositions, limits, children and
working directory.
.Nm
is not an init: as process 1 it becomes the server, which then has to reap its children.

.Ss Commands
${list(
  COMMANDS.map(({ name, what }) => [
    `Nm Cm ${name}`,
    mdoc`${sentences(what)}
See
.Xr portshim\-${name} 1 .`,
  ]),
)}

.Sh OPTIONS
${optionList(optionsOf("start"), OPTIONS)}

.Pp
A value can also be the next word:
.Fl Fl start Ar N .
With
.Fl Fl via ,
.Fl Fl user ,
.Fl Fl verbose
or
.Fl Fl dry\-run ,
Node.js is started even if there is nothing to do.

.Sh ROUTES
A route is a way to make sure that the server can bind its port.
They are tried in this order, each only if it can work here:
${list(
  ROUTES.map(({ name, what }) => [`Cm ${name}`, `${sentences(what)}\n${ROUTE_NOTES[name]}`]),
  "capability",
)}

.Pp
The last three have root on the host run this:
${example(`/usr/sbin/sysctl -w ${SETTING}=80`)}

.Pp
The host is reached by
.Xr flatpak\-spawn 1 ,
else by
.Ic host\-spawn .
Both talk to the session helper of flatpak on the host.

.Pp
If no polkit agent runs in the session, as over SSH, the password is asked for on the terminal, if
.Nm
runs in its foreground.
Servers that one user starts at the same time share one prompt, and one refusal.

.Sh SIGNALS
Until
.Ar command
runs,
.Dv SIGHUP ,
.Dv SIGINT ,
.Dv SIGQUIT ,
.Dv SIGTERM
and
.Dv SIGUSR1
stop
.Nm
and close an open prompt.
So does
.Dv SIGWINCH
if it is sent as a stop, but not if a terminal is resized.
A signal that was ignored or blocked when
.Nm
was started is left to
.Ar command .

.Sh ENVIRONMENT
An option overrides its variable.
An empty variable is unset.
The variable of an option without a value is 1 or 0.
.Pp
${list(variables, "PORTSHIM_OPTIONAL", " -compact")}
.Pp
Others:
${list([
  [
    "Ev PORTSHIM_BRIDGE",
    mdoc`An absolute path: the program that runs a command on the host, instead of those that
.Nm
knows.
It has to pass on its standard input.`,
  ],
  [
    "Ev PATH",
    mdoc`Where
.Nm
looks for
.Ar command ,
for Node.js 20 or later, and for the way to the host.`,
  ],
  [
    "Ev XDG_RUNTIME_DIR",
    mdoc`Where the lock is by which servers share a prompt.
If it is not set, or others can enter that folder,
.Pa /run/user/UID
or
.Pa /tmp/portshim\-UID
is used.`,
  ],
])}

.Sh FILES
${list([
  [`Pa ${SETTING_FILE}`, "The threshold."],
  [
    mdoc`Pa /etc/sysctl.d/*.conf`,
    mdoc`Where a person sets it; also in
.Pa /run/sysctl.d ,
.Pa /usr/local/lib/sysctl.d
and
.Pa /usr/lib/sysctl.d .`,
  ],
])}

.Sh EXIT STATUS
The exit status of
.Ar command .
Before it runs:
.Pp
${statusList(statuses())}

.Pp
The statuses 64 to 77 are those of
.In sysexits.h ,
which systemd knows by name.
A unit that restarts the server would ask again each time, after a refusal too; this line in its
.Ic [Service]
section prevents that:
${example("RestartPreventExitStatus=NOPERM")}

.Sh EXAMPLES
Start a server in a toolbox:
${example("portshim -- node server.js")}
.Pp
A server that needs port 443, but not 80:
${example("portshim --start=443 -- caddy run")}
.Pp
Start it in any case, and never ask for a password:
${example("portshim --optional --via=write,capability,nsenter -- node server.js")}
.Pp
In a Containerfile, with an option for all who run the image:
${example(`
ENV PORTSHIM_START=443
ENTRYPOINT ["portshim", "--", "node", "server.js"]
`)}
.Pp
Started as root, run the server as the user web, with no capability but the port's:
${example("portshim --user=web -- node server.js")}
.Pp
From a toolbox, publish port 80 of a container that rootless podman runs on the host:
${example("portshim -- flatpak-spawn --host podman run -p 80:80 nginx")}
.Pp
See what would be done, and change nothing:
${example("portshim check")}
.Pp
Have the host keep the threshold over reboots:
${example("portshim persist")}

.Sh SEE ALSO
${seeAlso(["portshim-images", ...COMMANDS.map(({ name }) => `portshim-${name}`), "flatpak-spawn", "pkexec", "podman-run", "run0", "toolbox"], "sysctl.d 5", "systemd.socket 5", "capabilities 7", "ip 7")}

.Sh CAVEATS
npm links
.Nm
to a few lines of
.Xr sh 1 ,
where the shell's own rules apply:
.Xr dash 1
drops variables whose names are not identifiers.
In an image
.Nm
is the static program itself.

.Pp
A server that another process keeps from its port cannot be helped;
.Ic portshim check \-\-bind
names that process.

.Sh SECURITY CONSIDERATIONS
Once the threshold is 80, any local user can bind the ports from 80 to 1023, not only this server: until the host reboots, or for
good after
.Ic portshim persist .
.Xr portshim\-guard 1
blocks access from other machines to those that the server does not need.
If that is not enough, give the server
.Dv CAP_NET_BIND_SERVICE ,
or let systemd open its socket
.Pq Xr systemd.socket 5 .

.Pp
Only constants and checked integers reach root, as one plain command that is printed first.
`,
);
