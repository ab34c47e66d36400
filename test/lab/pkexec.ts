import type { Lab } from "./lab.js";

/** Does `work` while the host has no pkexec, as on NixOS. */
export async function withoutPkexec<T>(lab: Lab, work: () => Promise<T>): Promise<T> {
  await lab.asHost(["mv", "/usr/bin/pkexec", "/usr/bin/pkexec.away"]);
  try {
    return await work();
  } finally {
    await lab.asHost(["mv", "/usr/bin/pkexec.away", "/usr/bin/pkexec"]);
  }
}

/** What polkit is asked about run0: never the command. */
export const RUN0_ASKS = /^start run-\S+\.service$/;
