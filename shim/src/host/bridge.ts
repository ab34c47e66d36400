import { accessSync, constants } from "node:fs";
import { basename, join } from "node:path";
import { PortshimError } from "../error.js";
import { type Place, SESSIONS } from "../here/place.js";
import { printable } from "../text.js";
import type { Identity } from "./child.js";

/** A way to run a program on the host, in `/`, with only PATH in its environment. */
export interface Bridge {
  readonly name: string;
  /** The bridge's program; undefined if commands run without one. */
  readonly path: string | undefined;
  /** Who runs the bridge; undefined: we do. */
  readonly identity: Identity | undefined;
  /** The command that runs `argv` on the host; `argv[0]` must be absolute. */
  command(argv: readonly string[]): readonly string[];
}

interface Kind {
  readonly name: string;
  /** Where distributions install it, tried before PATH: some of these are not on PATH. */
  readonly paths: readonly string[];
  /** What goes between the bridge and the host's command. */
  readonly options: readonly string[];
}

/** Where the host's programs are looked for, NixOS's wrappers first: directories that only root can write to. */
export const HOST_PATH = [
  "/run/wrappers/bin",
  "/run/current-system/sw/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
] as const;

/** All of the environment that the host's commands get. */
export const HOST_ENVIRONMENT = `PATH=${HOST_PATH.join(":")}`;

/** For bridges that pass the environment on: pkexec rejects unusual values of SHELL and TERM. */
export const EMPTY_ENVIRONMENT = ["/usr/bin/env", "-i", HOST_ENVIRONMENT];

/** Without distrobox-host-exec: if there is no host-spawn, it downloads one and installs it as root. */
const BRIDGES: readonly Kind[] = [
  {
    name: "flatpak-spawn",
    // Fedora; Debian and Ubuntu.
    paths: ["/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn"],
    // Without --watch-bus the prompt on the host outlives a flatpak-spawn that was killed; and the host does not know
    // the container's directories.
    options: ["--host", "--watch-bus", "--directory=/", "--clear-env", `--env=${HOST_ENVIRONMENT}`],
  },
  {
    name: "host-spawn",
    paths: ["/usr/bin/host-spawn", "/usr/local/bin/host-spawn"],
    options: ["--no-pty", ...EMPTY_ENVIRONMENT],
  },
];

/** The bridges that are looked for, for messages. */
export const BRIDGE_NAMES: readonly string[] = BRIDGES.map(({ name }) => name);

/** The packages that contain one, for messages. */
export const BRIDGE_PACKAGES = "package flatpak-spawn on Fedora, flatpak-xdg-utils on Debian and Ubuntu";

/**
 * The bridge to use from `place`; undefined if none is installed and we are not on a host. PORTSHIM_BRIDGE in `env`, an
 * absolute path, overrides it: it is called like the known bridge of that name, else with the host's command alone.
 *
 * Throws PortshimError `bad-usage` if PORTSHIM_BRIDGE is not the absolute path of an executable, of at most 400
 * characters, all of which can be printed.
 */
export function findBridge(place: Place, env: NodeJS.ProcessEnv, executable = isExecutable): Bridge | undefined {
  const identity = identityOf(place, env);
  const override = env.PORTSHIM_BRIDGE;
  if (override) {
    if (!isPath(override) || !executable(override)) {
      throw new PortshimError("bad-usage", `PORTSHIM_BRIDGE must be a program's path, not "${printable(override)}"`);
    }
    const kind = BRIDGES.find(({ name }) => name === basename(override));
    return bridge(kind?.name ?? basename(override), override, kind?.options ?? EMPTY_ENVIRONMENT, identity);
  }
  if (place.isHost === "yes") return NONE;
  for (const { name, paths, options } of BRIDGES) {
    const path = [...paths, ...onPath(name, env)].find(executable);
    if (path !== undefined) return bridge(name, path, options, identity);
  }
  return place.isHost === "maybe" ? NONE : undefined;
}

/** Where PATH would find a program of this name; only in its absolute directories. */
function onPath(name: string, { PATH = "" }: NodeJS.ProcessEnv): string[] {
  return PATH.split(":")
    .filter(isPath)
    .map((directory) => join(directory, name));
}

/** Absolute, and such that messages can have it as it is. */
function isPath(text: string): boolean {
  return text.startsWith("/") && printable(text) === text;
}

/** Commands run here, and so in our own network namespace. */
const NONE: Bridge = { name: "none", path: undefined, identity: undefined, command: (argv) => argv };

function bridge(name: string, path: string, options: readonly string[], identity: Identity | undefined): Bridge {
  return { name, path, identity, command: (argv) => [path, ...options, ...argv] };
}

/** Who runs the bridge, and on which session bus; undefined: we do, on ours, as always on the host. */
function identityOf(place: Place, env: NodeJS.ProcessEnv): Identity | undefined {
  const caller = place.isHost === "yes" ? undefined : sudoer(env);
  if (caller === undefined && place.hostSessions === undefined) return undefined;
  const runtime = `${place.hostSessions ?? SESSIONS}/${caller?.uid ?? process.getuid?.()}`;
  return { ...caller, env: { XDG_RUNTIME_DIR: runtime, DBUS_SESSION_BUS_ADDRESS: `unix:path=${runtime}/bus` } };
}

/**
 * The user who called `sudo portshim …` in a container: the session bus accepts only its own user, and sudo removes its
 * address.
 */
function sudoer(env: NodeJS.ProcessEnv): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = [env.SUDO_UID, env.SUDO_GID].map((text) => (/^[1-9]\d{0,9}$/.test(text ?? "") ? Number(text) : 0));
  return uid && gid ? { uid, gid } : undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What runs without a bridge runs here, and in our network namespace. */
export function isLocal(bridge: Bridge | undefined): boolean {
  return bridge !== undefined && bridge.path === undefined;
}
