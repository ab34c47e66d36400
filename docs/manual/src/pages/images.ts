import { COMMANDS, COMMON } from "../../../../images/lib/commands.js";
import { STATUSES } from "../../../../images/lib/help.js";
import { RECIPES } from "../../../../images/lib/recipe.js";
import { example, list, mdoc, optionList, page, plain, seeAlso, sentences, statusList, synopsis } from "../mdoc.js";
import { imagesOptions } from "../program.js";

type Name = keyof typeof COMMANDS;

/** What there is to add to the options of --help. */
const OPTIONS: Readonly<{ [N in Name]: Record<`--${keyof (typeof COMMANDS)[N]["options"] & string}`, string> }> = {
  wrap: {
    "--tag": mdoc`A name without a registry becomes
.Ql localhost/ Ns Ar NAME ;
with docker it stays as it is.`,
    "--start": mdoc`Becomes portshim's
.Fl Fl start .`,
    "--user": mdoc`Becomes portshim's
.Fl Fl user .
Only root can become another user, so the new image starts as root, and so does what is run in its containers by
.Ic podman exec .`,
  },
  build: {
    "--build-arg": mdoc`.Ql BASE Ns = Ns Ar IMAGE
replaces the image that a recipe is built on,
.Ql NODE Ns = Ns Ar IMAGE
the one that the toolbox takes its Node.js from.
It can be repeated.`,
  },
  check: { "--json": "" },
};

const OF_ALL: Readonly<Record<`--${keyof typeof COMMON}`, string>> = {
  "--host": mdoc`By default the first that is set of
.Ev DOCKER_HOST
and
.Ev CONTAINER_HOST ,
else the first that answers of
.Pa $XDG_RUNTIME_DIR/podman/podman.sock ,
.Pa /run/podman/podman.sock
and
.Pa /var/run/docker.sock .
In a toolbox that is the host's podman.
If none answers:
.Ic systemctl \-\-user start podman.socket .`,
  "--help": "",
  "--version": "",
};

/** How a command is called, and what it is for. */
function head(name: Name): string {
  const { takes, options } = COMMANDS[name];
  const operand = takes.startsWith("[") ? `.Op Ar ${plain(takes.slice(1, -1).replace("…", ""))} ...` : `.Ar ${takes}`;
  return `.Nm\n.Cm ${name}\n${operand}\n${synopsis(imagesOptions(options))}`;
}

function options(name: Name): string {
  return optionList(imagesOptions(COMMANDS[name].options), OPTIONS[name]);
}

export const images = page(
  "portshim-images",
  "put portshim into container images",
  mdoc`
.Sh SYNOPSIS
${head("wrap")}
${head("build")}
${head("check")}

.Sh DESCRIPTION
.Nm
puts
.Xr portshim 1
into images, with the help of podman or docker.
Progress goes to standard error, results to standard output.
An image gets its name only when it is complete.

.Ss wrap
${sentences(COMMANDS.wrap.what)}
The new image is built on
.Ar IMAGE .
It starts portshim, which becomes what
.Ar IMAGE
started.
Everything else stays: the user, the working directory, the environment, ports, volumes, the stop signal, the health check and labels.
${options("wrap")}
.Pp
The launcher is the one for the image's architecture, amd64 or arm64.
It is a static program: the image needs no shell and no library, and Node.js only if there is something to do.
Without Node.js 20 or later on the image's
.Ev PATH
the new image starts portshim with
.Fl Fl optional ,
so that a server that could bind its port before still can; with
.Fl Fl user
such an image is refused.
An image that starts portshim already is left alone.
One with
.Ic ONBUILD
instructions is refused, because they would run: wrap the image that is built on it.

.Ss build
${sentences(COMMANDS.build.what)}
${list(
  RECIPES.map(({ name, what, reference }) => [
    `Cm ${name}`,
    mdoc`${sentences(what)}
The image is
.Ql ${plain(reference.name)} .`,
  ]),
  "toolbox",
)}
.Pp
The same portshim gives the same layer, with the same digest.
${options("build")}

.Ss check
${sentences(COMMANDS.check.what)}
If portshim would find no Node.js in it, the report says how that ends.
Nothing of the image is run but
.Ic node \-\-version ,
in a container without network, capabilities or a writable disk.
${options("check")}

.Sh OPTIONS
These are options of every command.
${optionList(imagesOptions(COMMON), OF_ALL)}

.Sh ENVIRONMENT
${list([
  [
    "Ev DOCKER_HOST , CONTAINER_HOST",
    mdoc`Where the engine answers, without
.Fl Fl host .`,
  ],
])}

.Sh EXIT STATUS
${statusList(Object.entries(STATUSES))}

.Sh EXAMPLES
Wrap an image whose server fails with
.Dq listen EACCES: permission denied 0.0.0.0:80 ,
and try the new one:
${example(`
portshim-images wrap web:1
podman run --rm -p 8080:80 localhost/web:1-portshim
`)}
.Pp
The image that is only portshim, and the line of a Containerfile that copies it:
${example(`
portshim-images build layer
COPY --from=localhost/portshim / /
`)}
.Pp
A toolbox with Node.js and portshim:
${example(`
portshim-images build toolbox
toolbox create --image localhost/portshim-toolbox:latest web
`)}

.Sh SEE ALSO
${seeAlso(["portshim", "podman", "podman-build", "toolbox"], "Containerfile 5")}
`,
);
