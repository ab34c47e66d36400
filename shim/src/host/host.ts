import type { Place } from "../here/place.js";
import { LARGEST, SETTING_FILE } from "../here/threshold.js";
import type { Reason } from "../report/reason.js";
import { type Bridge, HOST_ENVIRONMENT, HOST_PATH } from "./bridge.js";
import { type Result, start } from "./child.js";

/** The host's programs that a route or a command can need. */
const PROGRAMS = ["pkexec", "run0", "systemd-run", "sudo", "podman", "nsenter", "sysctl", "nft"] as const;

/** The name of one of them. */
export type Program = (typeof PROGRAMS)[number];

/** What the host told us about itself. */
export interface Host {
  /** Inode of the network namespace that the host's commands run in. */
  readonly networkNamespace: number;
  /** Where the host has its programs: each in one of HOST_PATH, which only root writes to. */
  readonly programs: Partial<Readonly<Record<Program, string>>>;
  /** What asked it, as long as that is there for a command; undefined: the host was asked thoroughly. */
  readonly shell?: Shell | undefined;
  /** Its threshold, 0–65535; undefined: not asked, or it has none. */
  readonly threshold?: number | undefined;
  /** Polkit runs there, or is started when somebody needs it; undefined: not asked, or not known. */
  readonly polkit?: boolean | undefined;
}

/** The host's shell that has answered, and waits: a second way over the bridge would take as long as the first. */
export interface Shell {
  /** Becomes a command; undefined if it cannot. Only once. */
  exec(argv: readonly string[], timeout: number): Promise<Result> | undefined;
  /** It is needed no more; resolves when it has ended. */
  close(): Promise<unknown>;
}

/** The host could not be asked; `problem` says why, as the middle of a sentence. */
export interface NoHost {
  readonly problem: string;
}

/** The host, if it has answered. */
export function hostOf({ host }: { readonly host: Host | NoHost | undefined }): Host | undefined {
  return host && "programs" in host ? host : undefined;
}

const NAMESPACE = "/proc/self/ns/net";

/**
 * What the host is asked: only /bin/sh has the same place everywhere (NixOS). The namespace comes last: an answer that was
 * cut off has none.
 */
const question = (more: string, last: string) => `${HOST_ENVIRONMENT}
for program in ${PROGRAMS.join(" ")}; do command -v $program; done
${more}
ls -Lid ${NAMESPACE}
${last}`;

/** The last line of the answer, by itself. */
const ANSWERED = new RegExp(`^([1-9]\\d{0,14}) ${NAMESPACE}$`, "m");

/** Then it is there for one command, of words that need no quoting; and it ends with us, who hold its stdin. */
const COMMAND = "read -r command && exec $command";
const PLAIN = /^[\w./:=-]+$/;

const BUS = "org.freedesktop.DBus";

/**
 * What only a person wants to know. The bus is asked for names alone, which starts nothing: one that nobody has is no
 * trouble if it can be activated.
 */
const THOROUGH = `cat ${SETTING_FILE} 2>/dev/null
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
  const script = thorough ? question(THOROUGH, "") : question("", COMMAND);
  const dieWithUs = bridge.path !== undefined;
  const options = { timeout: PATIENCE, signal, identity: bridge.identity, dieWithUs };
  const program = start(bridge.command(["/bin/sh", "-c", script]), options);
  const host = read(await program.says(ANSWERED));
  if (!host) return { problem: problem(await program.ended, bridge, place) };
  if (thorough) return host;
  const exec = (argv: readonly string[], timeout: number) => {
    if (program.isOver || !argv.every((word) => PLAIN.test(word))) return undefined;
    program.proceed(`${argv.join(" ")}\n`, timeout);
    return program.ended;
  };
  const close = () => {
    program.proceed("", PATIENCE);
    return program.ended;
  };
  return { ...host, shell: { exec, close } };
}

/** The host's answer decides which file root runs there, so only what was asked for is believed, and only where we looked for it. */
function read(answer: string): Host | undefined {
  const lines = answer.split("\n");
  const inode = ANSWERED.exec(answer)?.[1];
  if (inode === undefined) return undefined;
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
  readonly problem: Reason;
  /** In a rootless container that somebody starts. */
  readonly container?: Reason;
  /** In a toolbox and the like, which somebody enters. */
  readonly entered?: Reason;
}

const BUS_TROUBLE: readonly Trouble[] = [
  {
    answer: /ServiceUnknown|not provided by any \.service|not activatable/i,
    problem: "noFlatpak",
  },
  {
    answer: /Permission denied|AccessDenied|not permitted|not authorized|SELinux/i,
    problem: "busDenies",
    container: "disableLabel",
    entered: "beBusOwner",
  },
  {
    answer: /connection is closed|closed the connection|EOF|authentication failed/i,
    problem: "othersBus",
  },
  {
    answer:
      /Can't find bus|autolaunch|dbus-launch|No such file|connection refused|determine address|invalid bus address/i,
    problem: "noBus",
    container: "giveBus",
    entered: "loginForBus",
  },
];

function problem(result: Result, bridge: Bridge, place: Place): string {
  // Loaded only now: the question does not wait for it.
  const { REASON } = require("../report/reason.js");
  const name = nameOf(bridge);
  if (result.timedOut) return REASON.noAnswer(name, PATIENCE / 1000);
  const answer = REASON.answered(name, result.stderr, result.status);
  if (!bridgeFailed(result) || NOT_STARTED.test(answer)) return answer;
  const trouble = BUS_TROUBLE.find((one) => one.answer.test(answer));
  if (!trouble) return answer;
  const remedy = remedyOf(trouble, place);
  return `${REASON[trouble.problem]}${remedy ? `; ${REASON[remedy]}` : ""} (${answer})`;
}

/** Who is asked, for messages. */
export function nameOf({ name, path }: Bridge): string {
  return path === undefined ? "this machine" : name;
}

function remedyOf({ container, entered }: Trouble, { managedBy, name }: Place): Reason | undefined {
  if (managedBy === "host") return entered;
  return name === "rootless podman" ? container : undefined;
}

/** What flatpak's session helper says of a command that it could not start. */
const NOT_STARTED = /Failed to start command|Failed to execute child process/;

/**
 * How the errors of our launcher before a bridge begin, flatpak-spawn's own, and those of host-spawn, which prints the
 * words of Go's D-Bus library alone.
 */
const OWN_ERRORS = new RegExp(
  [
    "^(portshim:|Portal call failed|Can't find bus|Failed to|flatpak-spawn:|host-spawn:)|autolaunch",
    '^(dbus: |(dial|read|write) unix |EOF$|exec: "dbus-launch"|The name |Sender is not authorized|child process did not)',
  ].join("|"),
  "m",
);

/** Whether a bridge command failed before the host ran anything: the status alone does not tell. */
export function bridgeFailed({ stderr, notStarted = false }: Result): boolean {
  return notStarted || OWN_ERRORS.test(stderr);
}
