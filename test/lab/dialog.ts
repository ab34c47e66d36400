import type { Lab, Running } from "./lab.js";

/** Starts what has polkit ask, waits for the desktop's dialog, and answers it. */
export async function withDialog<Started extends Pick<Running, "kill" | "exited">>(
  lab: Lab,
  start: () => Promise<Started>,
  answer: () => Promise<void>,
): Promise<Started> {
  await lab.asGraphical(["true"]); // Before it there is no agent.
  const running = await start();
  try {
    await lab.desktop.asked();
    await answer();
  } catch (error) {
    // Nobody would answer its dialog, and the next one would wait behind it.
    await running.kill();
    await running.exited;
    throw error;
  }
  return running;
}
