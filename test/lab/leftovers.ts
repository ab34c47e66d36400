import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "./lab.js";

/** What a start has left on the lab's host. */
interface Left {
  /** `net.ipv4.ip_unprivileged_port_start`, which is 1024 again afterwards. */
  readonly threshold: number;
  /** Processes that were not there before, two seconds later: a line each. */
  readonly processes: readonly string[];
  /** Somebody holds the lock. */
  readonly isLocked: boolean;
}

/** Compares the lab's host with what it was. */
export interface Leftovers {
  look(): Promise<Left>;
}

/** The services that a start can start, or that restart. */
const SERVICES = /^(flatpak-session|polkitd|systemd|\(sd-|dbus-daemon|sd-pam)/;

/** Takes the processes that run now for those that belong there. */
export async function leftoversOf(lab: Lab): Promise<Leftovers> {
  const before = new Set(processesOf(lab).keys());
  const added = () =>
    [...processesOf(lab)].filter(([pid, name]) => !before.has(pid) && !SERVICES.test(name)).map(([, name]) => name);
  return {
    look: async () => {
      for (const deadline = Date.now() + 2000; added().length > 0 && Date.now() < deadline; ) await sleep(10);
      const threshold = await lab.threshold();
      if (threshold !== 1024) await lab.setThreshold(1024);
      const lock = `flock --nonblock "$1"/run/user/${lab.uid}/portshim-[0-9]*.lock true`;
      const isLocked = spawnSync("sh", ["-c", lock, "sh", lab.root]).status === 1;
      return { threshold, processes: added(), isLocked };
    },
  };
}

/** How many processes of this name the lab's host has. */
export function running(lab: Lab, name: string): number {
  return [...processesOf(lab).values()].filter((process) => process.startsWith(`${name} `)).length;
}

/** The processes of the lab's host, zombies too, by their ids: name and command line. */
function processesOf(lab: Lab): Map<string, string> {
  const found = new Map<string, string>();
  for (const pid of readdirSync(`${lab.root}/proc`).filter((name) => /^\d+$/.test(name))) {
    try {
      const read = (file: string) => readFileSync(`${lab.root}/proc/${pid}/${file}`, "utf8");
      found.set(pid, `${read("comm").trim()} ${read("cmdline").replaceAll("\0", " ").slice(0, 200)}`);
    } catch {
      // It has ended.
    }
  }
  return found;
}
