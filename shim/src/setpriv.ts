import { spawnSync } from "node:child_process";

/** util-linux's setpriv(1), or undefined: busybox has another of that name, with few of its options. */
export function findSetpriv(): string | undefined {
  for (const path of ["/usr/bin/setpriv", "/bin/setpriv"]) {
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 5000, env: {} });
    if (/util-linux/.test(stdout ?? "")) return path;
  }
  return undefined;
}
