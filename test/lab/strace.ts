import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { which } from "../need.js";
import type { Lab } from "./lab.js";

/** Puts this machine's strace, with its own libraries, onto the lab's host; `/run/host` before its path in the toolbox. */
export function installStrace(lab: Lab): string {
  const folder = "/opt/strace";
  const strace = which("strace") ?? "";
  const { stdout } = spawnSync("ldd", [strace], { encoding: "utf8" });
  const libraries = stdout.match(/\/\S+/g) ?? [];
  const loader = basename(libraries.find((path) => /\/ld-/.test(path)) ?? "");
  mkdirSync(`${lab.root}${folder}`, { recursive: true });
  for (const file of [strace, ...libraries])
    cpSync(file, `${lab.root}${folder}/${basename(file)}`, { dereference: true });
  const script = `#!/bin/sh\nhere=\${0%/*}\nexec "$here/${loader}" --library-path "$here" "$here/strace" "$@"\n`;
  writeFileSync(`${lab.root}${folder}/run`, script, { mode: 0o755 });
  return `${folder}/run`;
}
