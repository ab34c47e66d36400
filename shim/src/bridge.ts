import { accessSync, constants } from "node:fs";
import type { Place } from "./place.js";

/** A way to run a program on the host, from `/` and with an empty environment. */
export interface Bridge {
  readonly name: string;
  /** The bridge's program; undefined on the host itself. */
  readonly path: string | undefined;
  /** The command that runs `argv` on the host; `argv[0]` must be absolute. */
  command(argv: readonly string[]): readonly string[];
}

interface Kind {
  readonly name: string;
  /** Where distributions put it, first match wins; not all of them are on PATH. */
  readonly paths: readonly string[];
  /** What goes between the bridge and the host's command. */
  readonly options: readonly string[];
}

/**
 * Options of flatpak-spawn: a directory of the container's is unknown to the host; pkexec refuses odd SHELL and TERM
 * values; without --watch-bus the host's prompt outlives a flatpak-spawn that was killed.
 */
const FLATPAK_SPAWN = ["--host", "--watch-bus", "--directory=/", "--clear-env"];

const BRIDGES: readonly Kind[] = [
  {
    name: "flatpak-spawn",
    // Fedora; Debian and Ubuntu.
    paths: ["/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn"],
    options: FLATPAK_SPAWN,
  },
];

/** All bridge programs there are, for a sentence that says what was looked for. */
export const BRIDGE_NAMES: readonly string[] = BRIDGES.map(({ name }) => name);

/** The bridge to use from `place`, or undefined where none is installed. */
export function findBridge(place: Place, executable = isExecutable): Bridge | undefined {
  if (place.isHost) return { name: "none", path: undefined, command: (argv) => argv };
  for (const { name, paths, options } of BRIDGES) {
    const path = paths.find(executable);
    if (path !== undefined) return { name, path, command: (argv) => [path, ...options, ...argv] };
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
