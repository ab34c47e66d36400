import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { printable } from "portshim/internal";
import type { ContextFile } from "./context.js";
import { ImagesError } from "./failure.js";

/** The launcher's path in an image. */
export const LAUNCHER = "/usr/local/bin/portshim";

/** The helper's folder in an image; the launcher looks for it there. */
export const HELPER = "/usr/local/lib/portshim";

/** The platform of an image or an engine, in the engine's words. */
export interface Platform {
  readonly system: string;
  readonly architecture: string;
}

/** The launcher's platforms, and what `uname -m` prints there, which its files are named after. */
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
  // The npm package has all of them, a checkout only those that were built.
  if (!existsSync(launcher)) {
    const build = `${join(launchers, "build.sh")} ${machine}`;
    throw new ImagesError("no-launcher", `for ${platform} in this checkout yet`, `Build it: ${build}`);
  }
  return { path, content: readFileSync(launcher), executable: true };
}

/** Only programs that import portshim need it. */
const LIBRARY = "library/";

/** The compiled helper and its licence, for the folder `path` of a build context. */
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
