import type { Lab } from "./lab.js";
import { openPty } from "./pty.js";

/** A polkit agent in a terminal of its own, like a desktop's in a window: it asks the user for the password. */
export interface Agent {
  /** Waits until it has asked. */
  asked(): Promise<void>;
  /** Types a line and presses Enter; only after it has asked. */
  type(line: string): void;
  /** What the terminal shows. */
  readonly screen: string;
  /** Ends the agent, and with it the prompt that may be open. */
  stop(): Promise<void>;
}

/**
 * Starts an agent for what flatpak-session-helper runs, and resolves when it is registered with polkit. It asks once:
 * after an abandoned prompt pkttyagent never asks again.
 */
export async function startAgent(lab: Lab): Promise<Agent> {
  // pkttyagent closes the descriptor --notify-fd once it is registered; its prompt goes to the terminal alone.
  const agent = 'pkttyagent --process "$(pgrep -x -n -u "$(id -u)" flatpak-session)" --notify-fd 4 4>&1 >/dev/tty';
  // The bus starts the helper with its first call.
  await lab.asUser(["busctl", "--user", "call", "org.freedesktop.Flatpak", "/", "org.freedesktop.DBus.Peer", "Ping"]);
  const pty = await openPty(lab, `${agent} | { cat; echo registered; }`);
  await pty.shows(/registered/);
  return {
    asked: () => pty.asked("pkttyagent"),
    type: (line) => pty.type(`${line}\n`),
    get screen() {
      return pty.screen;
    },
    stop: async () => {
      // pkttyagent outlives its terminal.
      await lab.asHost(["pkill", "-KILL", "-x", "pkttyagent"]);
      await pty.exited;
    },
  };
}
