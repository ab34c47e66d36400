import { type Flag, optionsOf } from "../../../../shim/lib/cli/arguments.js";
import { statuses } from "../../../../shim/lib/cli/help.js";
import { persist as command, REMOVE_AND_SET, WRITE_AND_SET } from "../../../../shim/lib/cli/persist.js";
import { SETTING } from "../../../../shim/lib/here/threshold.js";
import { DROP_IN } from "../../../../shim/lib/sysctl/dropin.js";
import { commandLine } from "../../../../shim/lib/text.js";
import {
  example,
  list,
  mdoc,
  optionList,
  page,
  plain,
  seeAlso,
  sentences,
  statusList,
  synopsis,
  wideExample,
} from "../mdoc.js";
import { CHANGING, whatOf } from "./shared.js";

/** What there is to add to the options of --help. */
const OPTIONS: Readonly<Record<Flag<"persist">, string>> = {
  ...CHANGING,
  "--start": mdoc`Otherwise it is found as by
.Xr portshim 1 .`,
  "--remove": mdoc`If they set nothing, the threshold is 1024 again, the kernel's default.
Only here does portshim raise the threshold.`,
};

const FILE = plain(`/${DROP_IN}`);

export const persist = page(
  "portshim-persist",
  whatOf("persist"),
  mdoc`
.Sh SYNOPSIS
.Nm portshim
.Cm persist
${synopsis(optionsOf("persist"))}

.Sh DESCRIPTION
${sentences(command.about)}
.Xr systemd\-sysctl 8
applies that file at every boot.
Elsewhere the command says why not: a container with its own network is given the value when it is started.

.Pp
The file and the command are shown before the prompt opens.
Root is asked to run one plain command, a constant, which has the file's text on its standard input:
${wideExample(commandLine(["/bin/sh", "-c", WRITE_AND_SET]))}
.Pp
To remove the file, with the line that sets the threshold on its standard input:
${wideExample(commandLine(["/bin/sh", "-c", REMOVE_AND_SET]))}

.Pp
Run again, it changes nothing and asks nobody.
If the threshold is low enough already, only the file is written.
If the host's files already set it, but were never applied, only the value is set.
A file that overrides
.Pa ${FILE}
at boot is named, with the line.
If
.Pa ${FILE}
is a file that portshim did not write, or no regular file, it is not touched.

.Pp
Whatever the host answers, the file and the threshold are read back.
If something failed half way, the message says what was done and what to do next.

.Sh OPTIONS
${optionList(optionsOf("persist"), OPTIONS)}

.Sh FILES
${list([[`Pa ${FILE}`, `On the host: sets\n.Va ${plain(SETTING)} .`]])}

.Sh EXIT STATUS
${statusList(statuses(command.statuses))}

.Sh EXAMPLES
Let the rootless podman of all users on the host publish port 80, from a toolbox or on the host:
${example("portshim persist")}
.Pp
Show the file and the command, and change nothing:
${example("portshim persist --dry-run")}
.Pp
Over SSH, as a user whom sudo asks for no password:
${example("portshim persist --via=sudo")}
.Pp
Undo it:
${example("portshim persist --remove")}

.Sh SEE ALSO
${seeAlso(["portshim", "portshim-check", "portshim-guard"], "sysctl.d 5", "systemd-sysctl 8")}

.Sh SECURITY CONSIDERATIONS
From then on any user of the host can bind the ports from the threshold up, after each boot.
.Xr portshim\-guard 1
blocks access from other machines to those that the server does not need.
`,
);
