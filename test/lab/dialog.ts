import type { Lab, Running } from "./lab.js";

/**
 * Starts what has polkit ask, waits for the desktop's dialog, and answers it. On a busy machine MATE's agent was seen to show
 * none for a question that comes right behind another; then it is asked once more.
 */
export async function withDialog(
  lab: Lab,
  start: () => Promise<Running>,
  answer: () => Promise<void>,
): Promise<Running> {
  await lab.asGraphical(["true"]); // Before it there is no agent.
  for (let isLast = false; ; isLast = true) {
    const running = await start();
    try {
      await lab.desktop.asked();
    } catch (error) {
      if (isLast) throw error;
      await running.kill();
      await running.exited;
      continue;
    }
    await answer();
    return running;
  }
}
