import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { gzip, npmFiles, tar } from "./archive.js";
import { debianPackage, rpmPackage } from "./distribution.js";
import { labelsOf, layout } from "./oci.js";
import { ARCHITECTURES, prefixFiles } from "./prefix.js";
import { billOfMaterials, type DebianTool, type OwnPackage } from "./sbom.js";
import { versionOf } from "./versions.js";

/** `npm run release`: writes what is published into the folder dist. */
async function main(): Promise<void> {
  const root = realpathSync(join(__dirname, "..", "..", ".."));
  const version = versionOf(root);
  const tools = toolsOf();
  const date = dateOf(root);
  const shim = join(root, "shim");
  const dist = join(root, "dist");
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  const write = (name: string, content: Buffer | string) => writeFileSync(join(dist, name), content);

  const packages: OwnPackage[] = [];
  for (const name of ["portshim", "portshim-images"]) {
    const own = await npmPackage(root, name, date);
    packages.push({ name, version, ...own });
    write(own.file, own.content);
  }
  for (const architecture of ARCHITECTURES) {
    const name = `portshim-${version}-linux-${architecture.name}`;
    const files = prefixFiles(shim, architecture);
    const below = files.map((file) => ({ ...file, path: `${name}/${file.path}` }));
    write(`${name}.tar.gz`, gzip(await tar(below, date)));
    const source = { version, date, architecture, files, changelog: join(root, "CHANGELOG.md") };
    debianPackage(source, join(dist, `portshim_${version}_${architecture.name}.deb`));
    rpmPackage(source, join(dist, `portshim-${version}-1.${architecture.machine}.rpm`));
  }
  const labels = labelsOf(readFileSync(join(root, "Containerfile"), "utf8"));
  write(`portshim-${version}-oci.tar`, await tar(await layout(labels, date), date));
  const [own, images] = packages as [OwnPackage, OwnPackage];
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const typescript = lock.packages["node_modules/typescript"].version;
  const licenceOf = (folder: string) => licenceIn(join(root, folder));
  const materials = { shim: own, images, lock, licenceOf, typescript, musl: muslOf(shim), tools, date };
  write(`portshim-${version}.spdx.json`, billOfMaterials(materials));

  const sums = readdirSync(dist)
    .sort()
    .map(
      (name) =>
        `${createHash("sha256")
          .update(readFileSync(join(dist, name)))
          .digest("hex")}  ${name}\n`,
    );
  write("SHA256SUMS", sums.join(""));
  process.stdout.write(`dist/, dated ${date.toISOString()}:\n${sums.join("")}`);
  for (const reason of obstacles(root, version)) console.error(`Not to be published: ${reason}`);
}

/** When the commit was made, or SOURCE_DATE_EPOCH: nothing in a release depends on when it was built. */
function dateOf(root: string): Date {
  const seconds =
    process.env.SOURCE_DATE_EPOCH ??
    execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" });
  if (!/^\d{1,11}\s*$/.test(seconds)) throw new Error("SOURCE_DATE_EPOCH must be the seconds since 1970");
  return new Date(Number(seconds) * 1000);
}

/** Why others could not make the same release. */
function obstacles(root: string, version: string): string[] {
  const reasons: string[] = [];
  if (
    !new RegExp(`^## ${version.replaceAll(".", "\\.")} .*\\d{4}-\\d\\d-\\d\\d`, "m").test(
      readFileSync(join(root, "CHANGELOG.md"), "utf8"),
    )
  ) {
    reasons.push(`CHANGELOG.md has no date for ${version}`);
  }
  if (!existsSync(join(root, ".git"))) reasons.push("this is not a git checkout");
  else if (execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" }) !== "") {
    reasons.push("there are changes that are not committed");
  }
  return reasons;
}

/** What npm packs of a workspace, packed again: npm's tarball depends on the umask and on Node's zlib. */
async function npmPackage(root: string, name: string, date: Date): Promise<{ file: string; content: Buffer }> {
  const folder = mkdtempSync(join(tmpdir(), "portshim-npm-"));
  try {
    const argv = ["pack", "--silent", "--ignore-scripts", `--workspace=${name}`, `--pack-destination=${folder}`];
    execFileSync("npm", argv, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
    const [file = ""] = readdirSync(folder);
    return { file, content: gzip(await tar(await npmFiles(join(folder, file)), date)) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The licence that a package declares, also as old ones do, which package-lock.json leaves out. */
function licenceIn(folder: string): string {
  const { license, licenses } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return license ?? licenses?.[0]?.type ?? "NOASSERTION";
}

/** The compilers, by the name of their architecture's programs, and the packers: their versions decide on the bytes. */
function toolsOf(): DebianTool[] {
  const programs = ARCHITECTURES.flatMap(({ machine }) => ["gcc", "ld"].map((tool) => `${machine}-linux-gnu-${tool}`));
  const missing = [...programs, "gzip", "dpkg-deb", "rpmbuild"].filter((program) => !existsSync(`/usr/bin/${program}`));
  if (missing.length > 0) {
    throw new Error(
      `${missing.join(", ")} missing here: a release is made on Debian for amd64, as docs/releasing.md says`,
    );
  }
  const owners = programs.map(
    (program) => query("--search", realpathSync(`/usr/bin/${program}`)).split(":")[0] as string,
  );
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the field is dpkg-query's.
  const version = (name: string) => query("--show", "--showformat=${Version}", name);
  return [...owners, "dpkg", "gzip", "liblzma5:amd64", "rpm"].map((name) => ({
    name: name.replace(/:.*/, ""),
    version: version(name),
  }));
}

function query(...argv: string[]): string {
  return execFileSync("dpkg-query", argv, { encoding: "utf8" });
}

/** The versions of musl in the two launchers: the machine's own, and the one that build.sh fetched. */
function muslOf(shim: string) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the field is dpkg-query's.
  const own = query("--show", "--showformat=${Version}", "musl-dev:amd64");
  const log = join(shim, "launcher", ".musl-aarch64", "usr", "share", "doc", "musl-dev", "changelog.Debian.gz");
  const [, fetched] = /^musl \(([^)]*)\)/.exec(gunzipSync(readFileSync(log)).toString()) ?? [];
  if (fetched !== own)
    throw new Error(`the launchers have two versions of musl, ${own} and ${fetched}: remove ${log.split("/usr/")[0]}`);
  return ARCHITECTURES.map(({ name }) => ({ architecture: name, version: own }));
}

main().catch((error: Error & { stderr?: unknown }) => {
  console.error(`release: ${error.message}`);
  process.exitCode = 1;
});
