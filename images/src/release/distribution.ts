import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, lutimesSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ContextFile } from "../context.js";
import { copyOf, gzip } from "./archive.js";
import { type Architecture, LICENCE } from "./prefix.js";

/** What a distribution's package is made from. */
export interface Source {
  readonly version: string;
  readonly date: Date;
  readonly architecture: Architecture;
  /** As prefixFiles() gives them. */
  readonly files: readonly ContextFile[];
  /** The path of CHANGELOG.md. */
  readonly changelog: string;
}

const SUMMARY = "entrypoint that lets an ordinary user's server bind port 80";
const DESCRIPTION = `In a toolbox or a container an ordinary user's server cannot bind ports below
1024. portshim has the host lower net.ipv4.ip_unprivileged_port_start, with one
prompt, checks that it worked, and becomes the server.`;

/** A compressed manual page. */
const page = ({ path, content }: ContextFile): ContextFile =>
  path.startsWith("share/man/")
    ? { path: `${path}.gz`, content: gzip(content), executable: false }
    : { path, content, executable: path.startsWith("bin/") };

/** Writes a Debian package, made by dpkg-deb. */
export function debianPackage({ version, date, architecture, files, changelog }: Source, output: string): void {
  const log = gzip(copyOf(changelog, "").content);
  const documentation = "share/doc/portshim";
  const installed = [
    ...files.map(page).map((file) => ({
      ...file,
      // Where Debian has licences, and its zsh looks.
      path: file.path
        .replace(LICENCE, `${documentation}/copyright`)
        .replace(/^share\/zsh\/site-functions\//, "share/zsh/vendor-completions/"),
    })),
    { path: `${documentation}/changelog.gz`, content: log, executable: false },
  ].map((file) => ({ ...file, path: `usr/${file.path}` }));
  const size = installed.reduce((sum, { content }) => sum + Math.ceil(content.length / 1024), 0);
  // Without Node portshim does what it can: start, if there is nothing to do.
  const control = `Package: portshim
Version: ${version}
Architecture: ${architecture.name}
Maintainer: the portshim authors
Installed-Size: ${size}
Recommends: nodejs (>= 20)
Section: admin
Priority: optional
Description: ${SUMMARY}
${DESCRIPTION.replace(/^/gm, " ")}
`;
  const sums = installed.map(({ path, content }) => `${createHash("md5").update(content).digest("hex")}  ${path}\n`);
  const own = [
    { path: "DEBIAN/control", content: Buffer.from(control), executable: false },
    { path: "DEBIAN/md5sums", content: Buffer.from(sums.sort().join("")), executable: false },
  ];
  inTree([...installed, ...own], date, (tree) => {
    run("dpkg-deb", ["--root-owner-group", "-Zxz", "--build", tree, output], date);
  });
}

/** Writes an RPM package, made by rpmbuild. */
export function rpmPackage({ version, date, architecture, files }: Source, output: string): void {
  const installed = files.map(page).map((file) => ({ ...file, path: `usr/${file.path}` }));
  const list = installed.map(({ path }) => {
    return `${path.endsWith("/LICENSE") ? "%license " : ""}/${path}`;
  });
  const folders = new Set(
    installed.map(({ path }) => `/${dirname(path)}`).filter((path) => /\/portshim(\/|$)/.test(path)),
  );
  // Nothing is compiled or looked for; and no name, time or folder of this machine is noted. Fedora's nodejs has an epoch.
  const spec = `%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _buildhost localhost
%global _binary_payload w9.gzdio
%global _binary_filedigest_algorithm 8
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
Name: portshim
Version: ${version}
Release: 1
Summary: ${SUMMARY.replace(/^./, (first) => first.toUpperCase())}
License: MIT
AutoReqProv: no
Recommends: nodejs >= 1:20
%description
${DESCRIPTION}
%install
cp -a "$PORTSHIM_TREE/." %{buildroot}
%files
%defattr(-,root,root)
${[...[...folders].map((folder) => `%dir ${folder}`), ...list].sort().join("\n")}
`;
  inTree(installed, date, (tree) => {
    const work = mkdtempSync(join(tmpdir(), "portshim-rpm-"));
    try {
      writeFileSync(join(work, "portshim.spec"), spec);
      const target = ["--target", `${architecture.machine}-linux`];
      const folders = ["--define", `_topdir ${work}`, "--define", `_rpmdir ${work}/out`];
      const name = ["--define", "_build_name_fmt portshim.rpm"];
      run("rpmbuild", ["-bb", "--quiet", ...target, ...folders, ...name, join(work, "portshim.spec")], date, tree);
      writeFileSync(output, copyOf(join(work, "out", "portshim.rpm"), "").content);
    } finally {
      rmSync(work, { recursive: true });
    }
  });
}

function run(program: string, argv: readonly string[], date: Date, tree = ""): void {
  const env = { ...process.env, SOURCE_DATE_EPOCH: `${date.getTime() / 1000}`, LC_ALL: "C", PORTSHIM_TREE: tree };
  execFileSync(program, argv, { env, stdio: ["ignore", "pipe", "pipe"] });
}

/** Writes the files into a new folder, with modes and times that nothing here decides, and calls `use` with it. */
function inTree(files: readonly ContextFile[], date: Date, use: (tree: string) => void): void {
  const tree = mkdtempSync(join(tmpdir(), "portshim-release-"));
  try {
    for (const { path, content, executable } of files) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content);
      chmodSync(join(tree, path), executable ? 0o755 : 0o644);
    }
    for (const entry of ["", ...readdirSync(tree, { recursive: true, encoding: "utf8" }).reverse()]) {
      const path = join(tree, entry);
      if (!files.some((file) => file.path === entry)) chmodSync(path, 0o755);
      lutimesSync(path, date, date);
    }
    use(tree);
  } finally {
    rmSync(tree, { recursive: true });
  }
}
