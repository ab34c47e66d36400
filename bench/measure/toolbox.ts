import { machine } from "node:os";
import { type Bench, must } from "./bench.js";

/**
 * The start of a script for Node in the toolbox: `set(value)` sets the host's threshold as people do by hand; `took(argv)`
 * is the milliseconds of a command; `rounds` is how many to print, a line each.
 */
const PRELUDE = `
  const { spawn, spawnSync } = require("child_process");
  const bridge = ["/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn"].find(require("fs").existsSync);
  const portshim = "/usr/local/lib/node_modules/portshim/launcher/portshim-${machine()}";
  const rounds = Number(process.argv[1]);
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  const took = (argv) => {
    const start = now();
    const { status } = spawnSync(argv[0], argv.slice(1), { stdio: "ignore" });
    if (status !== 0) throw new Error(argv.join(" ") + ": status " + status);
    return now() - start;
  };
  const set = (value) => took([bridge, "--host", "pkexec", "sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=" + value]);
  const inTurn = (things) => {
    for (let i = things.length - 1; i > 0; i--) {
      const other = Math.floor(Math.random() * (i + 1));
      [things[i], things[other]] = [things[other], things[i]];
    }
    return things;
  };
`;

const WARM_UP = 2;

/** Runs such a script in a toolbox with portshim, where polkit says yes at once, and gives its lines of numbers. */
export async function inToolbox(bench: Bench, script: string, rounds: number): Promise<number[][]> {
  const lab = await bench.lab();
  await lab.installShim();
  await lab.polkit("YES");
  const argv = ["node", "-e", PRELUDE + script, String(rounds + WARM_UP)];
  const ended = await lab.inToolbox(argv, { timeout: 30_000 + 5000 * rounds });
  const lines = must(argv, ended).trim().split("\n").slice(WARM_UP);
  if (lines.length !== rounds) throw new Error(`${lines.length} lines instead of ${rounds}: ${ended.stderr}`);
  return lines.map((line) => line.split(" ").map(Number));
}
