import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Data } from "../report/results.js";
import { type Bench, must, ROOT, run, SHIM } from "./bench.js";

/** What portshim adds to an image, of either architecture, and to node_modules. */
export async function bytes(bench: Bench): Promise<Data["bytes"]> {
  return { ...(await layers(bench)), "`npm install portshim`": npmPackage(bench) };
}

async function layers(bench: Bench): Promise<Data["bytes"]> {
  const lab = await bench.lab();
  const engine = await bench.engine();
  run([join(SHIM, "launcher", "build.sh"), "x86_64", "aarch64"]);
  const { RECIPES } = require(join(ROOT, "images/lib/recipe.js")) as typeof import("../../images/lib/recipe.js");
  const recipe = RECIPES.find(({ name }) => name === "layer");
  const found: Record<string, Data["bytes"][string]> = {};
  for (const architecture of ["amd64", "arm64"]) {
    const image = `localhost/bench-${architecture}:1`;
    const files = recipe?.files({ system: "linux", architecture }) ?? [];
    const containerfile = files.find(({ path }) => path === "Containerfile");
    const rest = files.filter((file) => file !== containerfile);
    await engine.build(image, String(containerfile?.content), rest);
    const contents = await engine.contents(image);
    const unpacked = [...contents.values()].reduce((sum, { content }) => sum + content.length, 0);
    // As it is sent to a registry.
    const script =
      'podman push --quiet "$1" "oci:$HOME/$2" >&2 && cat "$HOME/$2"/blobs/sha256/* | grep -ao \'"layers":.*\' | head -n 1';
    const argv = ["sh", "-c", script, "sh", image, `bench-${architecture}`];
    const manifest = must(argv, await lab.asUser(argv));
    const packed = [...manifest.matchAll(/"size":(\d+)/g)].reduce((sum, [, size]) => sum + Number(size), 0);
    found[`layer for ${architecture}`] = { unpacked, packed };
  }
  return found;
}

function npmPackage({ folder }: Bench): Data["bytes"][string] {
  const place = join(folder, "npm");
  mkdirSync(place);
  const npm = (...argv: string[]) => run(["npm", ...argv], { cwd: place });
  const [{ filename }] = JSON.parse(npm("pack", "--json", "--silent", "--pack-destination", place, SHIM));
  npm("install", "--offline", "--no-audit", "--no-fund", "--silent", "--prefix", place, join(place, filename));
  const modules = join(place, "node_modules");
  const sizes = readdirSync(modules, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size);
  return { unpacked: sizes.reduce((sum, size) => sum + size, 0), packed: statSync(join(place, filename)).size };
}
