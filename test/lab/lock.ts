import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "./lab.js";

/**
 * Waits until the lock's file is open so often: by the process that holds the lock, and by those that wait for it, all
 * of which have then started before a refusal that comes now. The library's child, flock(1), is one more.
 */
export async function atTheLock(lab: Lab, count: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  // find(1) complains of each process that ends meanwhile.
  const script = `find /proc/[0-9]*/fd -lname "/run/user/${lab.uid}/portshim-[0-9]*.lock" 2>/dev/null | wc -l`;
  for (;;) {
    const { stdout } = await lab.asHost(["sh", "-c", script]);
    if (Number(stdout) === count) return;
    if (Date.now() > deadline) throw new Error(`the lock's file is open ${stdout.trim()} times, not ${count}`);
    await sleep(20);
  }
}
