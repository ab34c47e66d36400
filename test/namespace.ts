import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NODE_VERSIONS, node } from "./need.js";

/** How a command is run in a network namespace of its own. */
export interface Situation {
  /** The namespace's threshold at the start. */
  threshold: number;
  /** The whole environment; default: a PATH with Node 26. */
  env?: NodeJS.ProcessEnv;
  /** Run as an ordinary user (uid and gid 65534) without any capability over the network. */
  ordinary?: boolean;
  cwd?: string;
  /** A script for dash, run as root of the namespaces before the command; its mounts stay in there. */
  prepare?: string;
  /** Options of setpriv(1) under which the command runs. */
  privileges?: readonly string[];
}

const SETTING = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

// Links, because PATH consists of folders, and the folder of the system's programs can contain a Node as well.
const links = mkdtempSync(join(tmpdir(), "portshim-path-"));
process.on("exit", () => rmSync(links, { recursive: true, force: true }));
for (const program of ["cat", "env", "flock"]) link("programs", program, `/usr/bin/${program}`);

function link(folder: string, name: string, target: string): void {
  mkdirSync(join(links, folder), { recursive: true });
  symlinkSync(target, join(links, folder, name));
}

/** A PATH with a few programs, and without any Node. */
export const PATH_WITHOUT_NODE = join(links, "programs");

/** A PATH with these programs and this version of Node. */
export function pathWith(version: (typeof NODE_VERSIONS)[number]): string {
  if (!existsSync(join(links, `node${version}`))) link(`node${version}`, "node", node(version));
  return `${join(links, `node${version}`)}:${PATH_WITHOUT_NODE}`;
}

// CAP_DAC_READ_SEARCH, because the checkout can be in a folder that is closed to others.
const ORDINARY = [
  ...["--reuid=65534", "--regid=65534", "--clear-groups"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

/** Puts the lock's file, root's or the ordinary user's, into a folder that vanishes with the namespace. */
const RUNTIME =
  "mount -t tmpfs tmpfs /run/user && mkdir -m 700 /run/user/0 /run/user/65534 && chown 65534:65534 /run/user/65534";

/** Runs a command as root of a new network namespace, and returns the threshold there afterwards. */
export function inNamespace(
  argv: readonly string[],
  { threshold, env = { PATH: pathWith(26) }, ordinary = false, cwd = "/", prepare = ":", privileges = [] }: Situation,
): SpawnSyncReturns<string> & { threshold: number } {
  const options = [...(ordinary ? ORDINARY : []), ...privileges];
  const drop = options.length > 0 ? `/usr/bin/setpriv ${options.join(" ")}` : "";
  const script = `echo ${threshold} > ${SETTING}; (PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${RUNTIME}; ${prepare}); (exec ${drop} "$@"); status=$?; /bin/cat ${SETTING} 2>/dev/null >&3; exit $status`;
  const result = spawnSync("/usr/bin/unshare", ["--net", "--mount", "/bin/dash", "-c", script, "dash", ...argv], {
    cwd,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    timeout: 60_000,
  });
  if (result.error) throw result.error;
  return Object.assign(result, { threshold: Number(result.output[3]) });
}
