import { resolve } from "node:path";

// The unsatisfied start, in a toolbox of the tests' lab, where polkit says yes at once: detect, ask, set, exec.

/** The part of the lab that is used; the tests' build has the whole. */
interface Lab {
  installShim(): Promise<void>;
  polkit(answer: "YES"): Promise<void>;
  inToolbox(argv: readonly string[], options: { timeout: number }): Promise<{ stdout: string; stderr: string }>;
  stop(): Promise<void>;
}

interface LabModule {
  labMissing(): string[];
  startLab(): Promise<Lab>;
}

/** Milliseconds of one round: portshim; the same by hand, which is the host's sysctl and then an empty Node. */
interface Round {
  readonly portshim: number;
  readonly spawn: number;
  readonly node: number;
}

/** Prints a line a round; the argument is their number. */
const SCRIPT = `
  const { spawnSync } = require("child_process");
  const spawn = ["/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn"].find(require("fs").existsSync);
  const took = (...argv) => {
    const start = process.hrtime.bigint();
    const { status } = spawnSync(argv[0], argv.slice(1), { stdio: "ignore" });
    if (status !== 0) throw new Error(argv.join(" ") + ": status " + status);
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
  const set = (value) => took(spawn, "--host", "pkexec", "sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=" + value);
  for (let round = 0; round < Number(process.argv[1]); round++) {
    set(1024);
    const portshim = took("/usr/local/lib/node_modules/portshim/launcher/portshim-" + require("os").machine(), "--start=80", "--", "/bin/true");
    set(1024);
    console.log(portshim, set(80), took("node", "-e", "0"));
  }
`;

/** Throws if the lab cannot run here. */
export async function unsatisfied(rounds: number): Promise<Round[]> {
  const { labMissing, startLab } = require(resolve(__dirname, "../../build/lab", "lab.js")) as LabModule;
  const missing = labMissing();
  if (missing.length > 0) throw new Error(missing.join(" "));
  const lab = await startLab();
  try {
    await lab.installShim();
    await lab.polkit("YES");
    const argv = ["node", "-e", SCRIPT, String(rounds + 2)];
    const { stdout, stderr } = await lab.inToolbox(argv, { timeout: 10_000 + 1000 * rounds });
    // The first two warm up.
    const lines = stdout.trim().split("\n").slice(2);
    if (lines.length !== rounds) throw new Error(stderr);
    return lines.map((line) => {
      const [portshim = 0, spawn = 0, node = 0] = line.split(" ").map(Number);
      return { portshim, spawn, node };
    });
  } finally {
    await lab.stop();
  }
}
