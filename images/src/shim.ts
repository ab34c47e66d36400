import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { printable } from "portshim/internal";
import type { ContextFile } from "./context.js";
import { ImagesError } from "./failure.js";

/** Where portshim's launcher lies in an image. */
export const LAUNCHER = "/usr/local/bin/portshim";

/** Where its helper lies; the launcher looks for it there. */
export const HELPER = "/usr/local/lib/portshim";

/** What an image or an engine is for, in the engine's words. */
export interface Platform {
  readonly system: string;
  readonly architecture: string;
}

/** The platforms that there is a launcher for, and what its file is named after: what `uname -m` prints there. */
const MACHINES = new Map([
  ["linux/amd64", "x86_64"],
  ["linux/arm64", "aarch64"],
]);

const root = dirname(require.resolve("portshim/package.json"));

/**
 * portshim's launcher for a platform, as the file `path` of a build context.
 *
 * Throws ImagesError `no-launcher`.
 */
export function launcherFile({ system, architecture }: Platform, path: string): ContextFile {
  const platform = `${system}/${architecture}`;
  const machine = MACHINES.get(platform);
  if (machine === undefined) {
    const known = [...MACHINES.keys()].join(" and ");
    throw new ImagesError("no-launcher", `for ${printable(platform)}, only for ${known}`);
  }
  const launchers = join(root, "launcher");
  const launcher = join(launchers, `portshim-${machine}`);
  // npm's package has them all.
  if (!existsSync(launcher)) {
    const build = `${join(launchers, "build.sh")} ${machine}`;
    throw new ImagesError("no-launcher", `for ${platform} in this checkout yet`, `Build it: ${build}`);
  }
  return { path, content: readFileSync(launcher), executable: true };
}

/** The room that only programs enter, by import. */
const LIBRARY = "library/";

/** The compiled helper and its licence, below the folder `path` of a build context. */
export function helperFiles(path: string): ContextFile[] {
  const folder = join(root, "lib");
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".js") && !name.startsWith(LIBRARY),
  );
  const file = (name: string, from: string): ContextFile => ({
    path: `${path}/${name}`,
    content: readFileSync(join(from, name)),
    executable: false,
  });
  return [file("LICENSE", root), ...names.map((name) => file(name, folder))];
}
