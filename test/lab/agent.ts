import { appendFileSync } from "node:fs";
import type { Lab } from "./lab.js";

/** A polkit agent in a terminal of its own, as a desktop has one in a window: it asks the user for her password. */
export interface Agent {
  /** Waits until it has asked. */
  asked(): Promise<void>;
  /** Types a line and presses Enter, which counts only once it has asked. */
  type(line: string): void;
  /** What the terminal shows. */
  readonly screen: string;
  /** Ends the agent, and with it the prompt that may be open. */
  stop(): Promise<void>;
}

/**
 * Starts an agent for what flatpak-session-helper runs, and resolves when polkit knows of it. It asks once: where
 * its prompt is abandoned, pkttyagent never asks again.
 */
export async function startAgent(lab: Lab): Promise<Agent> {
  const keyboard = `/run/user/${lab.uid}/portshim-lab/keyboard`;
  // pkttyagent closes the descriptor --notify-fd once it is registered; its prompt goes to the terminal alone.
  const agent = 'pkttyagent --process "$(pgrep -x -n -u "$(id -u)" flatpak-session)" --notify-fd 4 4>&1 >/dev/tty';
  const terminal = `
    rm -f "$1" && mkfifo "$1" && exec 3<>"$1" || exit
    exec script --quiet --return --flush --command "$2" /dev/null <&3
  `;
  const command = `${agent} | { cat; echo registered; }`;
  // The bus starts the helper when it is first called.
  await lab.asUser(["busctl", "--user", "call", "org.freedesktop.Flatpak", "/", "org.freedesktop.DBus.Peer", "Ping"]);
  const running = await lab.spawn("user", ["sh", "-c", terminal, "sh", keyboard, command]);
  await running.waitFor(/registered/);
  return {
    asked: async () => {
      await running.waitFor(/Password: /);
      // It throws away what was typed before it has turned the echo off.
      const echo = 'until stty -F "/dev/$(ps -C pkttyagent -o tty=)" | grep -q -- -echo; do sleep 0.02; done';
      await lab.asHost(["sh", "-c", echo]);
    },
    type: (line) => appendFileSync(`${lab.root}${keyboard}`, `${line}\n`),
    get screen() {
      return running.stdout;
    },
    stop: async () => {
      // Without its terminal pkttyagent lives on.
      await lab.asHost(["pkill", "-KILL", "-x", "pkttyagent"]);
      await running.exited;
    },
  };
}
