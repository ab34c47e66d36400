import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the version stands: a file, and what stands around the version there. */
const PLACES: readonly [file: string, pattern: RegExp][] = [
  ["shim/package.json", /"version": "([^"]*)"/],
  ["shim/src/cli/version.ts", /VERSION = "([^"]*)"/],
  ["images/package.json", /"version": "([^"]*)"/],
  ["images/package.json", /"portshim": "([^"]*)"/],
  ["Containerfile", /image\.version="([^"]*)"/],
  ["images/recipes/layer/Containerfile", /image\.version="([^"]*)"/],
  ["package-lock.json", /"images": \{\s+"name": "portshim-images",\s+"version": "([^"]*)"/],
  ["package-lock.json", /"shim": \{\s+"name": "portshim",\s+"version": "([^"]*)"/],
  ["CHANGELOG.md", /^## (\S+)/m],
];

/**
 * The version of this checkout.
 *
 * Throws an Error if a file has another.
 */
export function versionOf(root: string): string {
  const found = PLACES.map(([file, pattern]) => ({
    file,
    version: pattern.exec(readFileSync(join(root, file), "utf8"))?.[1],
  }));
  const version = found[0]?.version;
  if (version === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(`shim/package.json: the version must be three numbers, not ${version}`);
  }
  const others = found.filter((place) => place.version !== version);
  if (others.length === 0) return version;
  const list = others.map((place) => `${place.file} has ${place.version ?? "none"}`).join(", ");
  throw new Error(`shim/package.json has version ${version}, but ${list}`);
}
