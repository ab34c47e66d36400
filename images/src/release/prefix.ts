import { join } from "node:path";
import { type ContextFile, folderFiles } from "../context.js";
import { helperFiles, launcherFile } from "../shim.js";
import { copyOf } from "./archive.js";

/** The architectures, by the names of OCI and Debian, and by that of `uname -m` and rpm. */
export const ARCHITECTURES = [
  { name: "amd64", machine: "x86_64" },
  { name: "arm64", machine: "aarch64" },
] as const;

/** One of ARCHITECTURES. */
export type Architecture = (typeof ARCHITECTURES)[number];

/** Where the licence is below a prefix. */
export const LICENCE = "share/licenses/portshim/LICENSE";

/** portshim as it lies below a prefix, /usr/local or /usr: launcher, helper, manual pages, completions, licence. */
export function prefixFiles(shim: string, { name }: Architecture): ContextFile[] {
  const shared = folderFiles(join(shim, "share"), "share/");
  for (const kind of ["share/man/man1/", "share/bash-completion/", "share/zsh/", "share/fish/"]) {
    if (!shared.some(({ path }) => path.startsWith(kind))) throw new Error(`the build has left nothing in ${kind}`);
  }
  return [
    launcherFile({ system: "linux", architecture: name }, "bin/portshim"),
    ...helperFiles("lib/portshim").filter(({ path }) => path !== "lib/portshim/LICENSE"),
    ...shared,
    copyOf(join(shim, "LICENSE"), LICENCE),
  ];
}
