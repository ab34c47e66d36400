import type { Place } from "../here/place.js";
import { FILE, LARGEST } from "../here/threshold.js";
import { printable } from "../text.js";
import { type Bridge, HOST_ENVIRONMENT, HOST_PATH } from "./bridge.js";
import { type Ending, run } from "./child.js";

/** What a route or a command may need of the host. */
const PROGRAMS = ["pkexec", "run0", "systemd-run", "sudo", "podman", "nsenter", "sysctl", "nft"] as const;

/** A program of the host's. */
export type Program = (typeof PROGRAMS)[number];

/** What the host told us about itself. */
export interface Host {
  /** Inode of the network namespace that the host's commands run in. */
  readonly networkNamespace: number;
  /** Where the host has its programs: each in one of HOST_PATH, which only root writes to. */
  readonly programs: Partial<Readonly<Record<Program, string>>>;
  /** Its threshold, 0–65535; undefined: not asked, or it has none. */
  readonly threshold?: number | undefined;
  /** Polkit runs there, or is started when somebody needs it; undefined: not asked, or not known. */
  readonly polkit?: boolean | undefined;
}

/** The host could not be asked; `problem` is a sentence's middle that says why. */
export interface NoHost {
  readonly problem: string;
}

const NAMESPACE = "/proc/self/ns/net";

/**
 * What the host is asked: only /bin/sh has the same place everywhere (NixOS). The namespace comes last: an answer that was
 * cut off has none.
 */
const question = (more: string) => `${HOST_ENVIRONMENT}
for program in ${PROGRAMS.join(" ")}; do command -v $program; done
${more}
ls -Lid ${NAMESPACE}`;

const BUS = "org.freedesktop.DBus";

/**
 * What only a person wants to know. The bus is asked for names alone, which starts nothing: one that nobody has is no
 * trouble where it can be activated.
 */
const THOROUGH = `cat ${FILE} 2>/dev/null
list() {
	busctl --system --timeout=2 call ${BUS} /org/freedesktop/DBus ${BUS} $1 2>/dev/null ||
	dbus-send --system --reply-timeout=2000 --print-reply --dest=${BUS} /org/freedesktop/DBus ${BUS}.$1 2>/dev/null
}
if [ ! -S /run/dbus/system_bus_socket ]; then echo polkit no
elif names=$(list ListNames && list ListActivatableNames); then
	case $names in *\\"org.freedesktop.PolicyKit1\\"*) echo polkit yes ;; *) echo polkit no ;; esac
fi`;

/** Milliseconds for a question that asks nobody for a password; measured at about 10 on an idle machine. */
const PATIENCE = 10_000;

/** Asks the host, in one round trip, for its network namespace and its programs; thoroughly: for all of Host. */
export async function askHost(
  bridge: Bridge,
  place: Place,
  thorough: boolean,
  signal?: AbortSignal,
): Promise<Host | NoHost> {
  const argv = bridge.command(["/bin/sh", "-c", question(thorough ? THOROUGH : "")]);
  const ending = await run(argv, { timeout: PATIENCE, signal, identity: bridge.identity });
  return read(ending, bridge, place);
}

/** The host's answer decides which file root runs there, so nothing counts but what was asked for, where we looked for it. */
function read(ending: Ending, bridge: Bridge, place: Place): Host | NoHost {
  const lines = ending.stdout.split("\n");
  const inode = lines
    .map((line) => /^([1-9]\d{0,14}) (\S+)$/.exec(line))
    .find((match) => match?.[2] === NAMESPACE)?.[1];
  if (inode === undefined) return { problem: problem(ending, bridge, place) };
  const programs: Partial<Record<Program, string>> = {};
  for (const program of PROGRAMS) {
    const path = HOST_PATH.map((directory) => `${directory}/${program}`).find((candidate) => lines.includes(candidate));
    if (path !== undefined) programs[program] = path;
  }
  const threshold = lines.find((line) => /^\d{1,5}$/.test(line) && Number(line) <= LARGEST);
  const polkit = ["yes", "no"].find((word) => lines.includes(`polkit ${word}`));
  return {
    networkNamespace: Number(inode),
    programs,
    ...(threshold && { threshold: Number(threshold) }),
    ...(polkit && { polkit: polkit === "yes" }),
  };
}

/** How a bus that cannot be used answers a bridge, and what mends it by place: root's containers have no session. */
interface Trouble {
  readonly answer: RegExp;
  readonly problem: string;
  /** In a rootless container that somebody starts. */
  readonly container?: string;
  /** In a toolbox and the like, which somebody enters. */
  readonly entered?: string;
}

const BUS_TROUBLE: readonly Trouble[] = [
  {
    answer: /ServiceUnknown|not provided by any \.service|not activatable/i,
    problem: "the host has no flatpak, whose session helper runs commands for containers; install flatpak on the host",
  },
  {
    answer: /Permission denied|AccessDenied|not permitted|not authorized|SELinux/i,
    problem: "the session bus denies access",
    container: "; start the container with --security-opt label=disable",
    entered: "; start as the user it belongs to",
  },
  {
    answer: /connection is closed|closed the connection|EOF|authentication failed/i,
    problem: "the session bus is another user's; start as the user it belongs to",
  },
  {
    answer:
      /Can't find bus|autolaunch|dbus-launch|No such file|connection refused|determine address|invalid bus address/i,
    problem: "there is no session bus here",
    container:
      "; start the container from a login session, with its bus: -v $XDG_RUNTIME_DIR/bus:$XDG_RUNTIME_DIR/bus -e DBUS_SESSION_BUS_ADDRESS",
    entered: "; start from a login session, which sets DBUS_SESSION_BUS_ADDRESS",
  },
];

function problem(ending: Ending, bridge: Bridge, place: Place): string {
  const name = bridge.path === undefined ? "this machine" : bridge.name;
  if (ending.timedOut) return `${name} did not answer within ${PATIENCE / 1000} seconds`;
  const answer = `${name} answered: ${printable(ending.stderr) || `nothing, with status ${ending.status}`}`;
  if (!bridgeFailed(ending) || NOT_STARTED.test(answer)) return answer;
  const trouble = BUS_TROUBLE.find((one) => one.answer.test(answer));
  return trouble ? `${trouble.problem}${remedy(trouble, place)} (${answer})` : answer;
}

function remedy({ container = "", entered = "" }: Trouble, { keeper, name }: Place): string {
  if (keeper === "host") return entered;
  return name === "rootless podman" ? container : "";
}

/** What flatpak's session helper says of a command that it could not start. */
const NOT_STARTED = /Failed to start command|Failed to execute child process/;

/** How flatpak-spawn's own errors begin, and those of host-spawn, which prints the words of Go's D-Bus library alone. */
const OWN_ERRORS = new RegExp(
  [
    "^(Portal call failed|Can't find bus|Failed to|flatpak-spawn:|host-spawn:)|autolaunch",
    '^(dbus: |(dial|read|write) unix |EOF$|exec: "dbus-launch"|The name |Sender is not authorized|child process did not)',
  ].join("|"),
  "m",
);

/** Whether a bridge command failed before the host ran anything: the status alone does not tell. */
export function bridgeFailed(ending: Ending): boolean {
  return OWN_ERRORS.test(ending.stderr);
}
