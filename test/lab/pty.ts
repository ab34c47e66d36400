import { appendFileSync } from "node:fs";
import type { Lab, Result } from "./lab.js";

/** A terminal on the host, as a login over SSH gives one. */
export interface Pty {
  /** What it has shown so far. */
  readonly screen: string;
  /** Waits until it has shown this. */
  shows(pattern: RegExp): Promise<RegExpMatchArray>;
  /** Waits until this program, on a terminal of its own on the host, asks for a password and reads it. */
  asked(program: string): Promise<void>;
  /** Presses keys: a line ends with `\n`. */
  type(keys: string): void;
  /** Resolves when its command has ended. */
  readonly exited: Promise<Result>;
}

let terminals = 0;

/** Opens a terminal in the user's login session, in which this shell command runs. */
export async function openPty(lab: Lab, command: string): Promise<Pty> {
  const keyboard = `/run/user/${lab.uid}/portshim-lab/keyboard-${++terminals}`;
  const terminal = `
    mkfifo "$1" && exec 3<>"$1" || exit
    exec script --quiet --return --flush --command "$2" /dev/null <&3
  `;
  const running = await lab.spawn("user", ["sh", "-c", terminal, "sh", keyboard, command]);
  return {
    get screen() {
      return running.stdout;
    },
    shows: (pattern) => running.waitFor(pattern),
    asked: async (program) => {
      await running.waitFor(/Password: /);
      // It discards what was typed before it has turned echo off.
      const echo = `until stty -F "/dev/$(ps -C ${program} -o tty=)" | grep -q -- -echo; do sleep 0.02; done`;
      await lab.asHost(["sh", "-c", echo]);
    },
    type: (keys) => appendFileSync(`${lab.root}${keyboard}`, keys),
    exited: running.exited,
  };
}
