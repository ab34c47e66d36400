import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Data } from "../report/results.js";
import { median } from "../report/statistics.js";
import type { Bench } from "./bench.js";
import { byNumber } from "./satisfied.js";

/** A satisfied start, by the number of drop-ins. */
export function dropIns(bench: Bench): Data["dropIns"] {
  const numbers = [0, 10, 100, 1000];
  const trees = new Map(numbers.map((number) => [number, tree(bench.folder, number)]));
  return byNumber(bench, numbers, (number) => ({ before: show(trees.get(number) as string) }), median);
}

/** A sysctl.d folder with this many drop-ins of three lines each. */
function tree(folder: string, count: number): string {
  const path = join(folder, `drop-ins-${count}`);
  mkdirSync(path);
  for (let i = 0; i < count; i++) {
    writeFileSync(join(path, `${i}.conf`), `# drop-in ${i}\nnet.core.somaxconn = 4096\nvm.swappiness=${i % 100}\n`);
  }
  return path;
}

/**
 * Shell commands that put this folder in the place of /etc/sysctl.d, and leave no other drop-in: neither in /usr/lib, nor
 * below /run/host, where some machines have each of their files again.
 */
const show = (path: string) => [
  "mount -t tmpfs tmpfs /run",
  `mount --bind ${path} /etc/sysctl.d`,
  "mount -t tmpfs tmpfs /usr/lib/sysctl.d",
];

/** How many sysctl.d files this machine has. */
export function machinesDropIns(): number {
  return ["/etc", "/run", "/usr/local/lib", "/usr/lib"]
    .map((parent) => {
      try {
        return readdirSync(`${parent}/sysctl.d`).filter((name) => name.endsWith(".conf")).length;
      } catch {
        return 0;
      }
    })
    .reduce((sum, count) => sum + count, 0);
}
