import type { Lab, Running } from "./lab.js";

/** Starts a command for which polkit asks, waits for the desktop's dialog, and answers it. */
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
    // Or its dialog would stay open, and the next one wait behind it.
    await running.kill();
    await running.exited;
    throw error;
  }
  return running;
}
