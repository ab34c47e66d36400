import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import * as assert from "uvu/assert";
import { VERSION } from "../shim/lib/cli/version.js";
import { ROOT } from "./need.js";

/** When the tests' releases are dated: a copy of the checkout has no commit. */
export const SOURCE_DATE_EPOCH = 1_767_225_600;

/** The parts of a release, by their names in dist. */
export const PARTS = {
  npm: `portshim-${VERSION}.tgz`,
  images: `portshim-images-${VERSION}.tgz`,
  amd64: `portshim-${VERSION}-linux-amd64.tar.gz`,
  arm64: `portshim-${VERSION}-linux-arm64.tar.gz`,
  oci: `portshim-${VERSION}-oci.tar`,
  sbom: `portshim-${VERSION}.spdx.json`,
  deb: `portshim_${VERSION}_amd64.deb`,
  debArm64: `portshim_${VERSION}_arm64.deb`,
  rpm: `portshim-${VERSION}-1.x86_64.rpm`,
  rpmArm64: `portshim-${VERSION}-1.aarch64.rpm`,
} as const;

/** A copy of the checkout, without what was built; its last folder has this name. */
export function copyCheckout(name: string): string {
  // What it fetches for the other machine is copied too.
  execFileSync(join(ROOT, "shim", "launcher", "build.sh"), ["x86_64", "aarch64"], { stdio: "pipe" });
  const folder = join(mkdtempSync(join(tmpdir(), "portshim-release-")), name);
  const built = /^((docs\/)?\w+\/(lib|types|share)|shim\/launcher\/(portshim-\w+|\.build-\w+))$/;
  const isBuilt = (path: string) => built.test(relative(ROOT, path));
  const files = [
    "package.json",
    "package-lock.json",
    ".npmrc",
    "tsconfig.json",
    "LICENSE",
    "CHANGELOG.md",
    "Containerfile",
  ];
  for (const path of [...files, "shim", "images", join("docs", "manual")]) {
    cpSync(join(ROOT, path), join(folder, path), { recursive: true, filter: (source) => !isBuilt(source) });
  }
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  for (const module of readdirSync(join(ROOT, "node_modules")).filter((module) => !module.startsWith("portshim"))) {
    symlinkSync(join(ROOT, "node_modules", module), join(modules, module));
  }
  symlinkSync("../shim", join(modules, "portshim"));
  symlinkSync("../images", join(modules, "portshim-images"));
  return folder;
}

/** Removes such a copy. */
export function removeCopy(folder: string): void {
  rmSync(join(folder, ".."), { recursive: true });
}

/** Makes a release in such a copy, with variables, by a prefix of the command. Returns its folder dist. */
export async function release(
  folder: string,
  env: NodeJS.ProcessEnv = {},
  prefix: readonly string[] = [],
): Promise<string> {
  const [program = "", ...argv] = [...prefix, "npm", "run", "--silent", "release"];
  const child = spawn(program, argv, {
    cwd: folder,
    env: { ...process.env, SOURCE_DATE_EPOCH: `${SOURCE_DATE_EPOCH}`, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const said = await text(child.stderr);
  assert.is(await ended, 0, said);
  return join(folder, "dist");
}
