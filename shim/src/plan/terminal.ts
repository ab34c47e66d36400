import { closeSync, constants as files, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { PortshimError } from "../error.js";
import { EMPTY_ENVIRONMENT } from "../host/bridge.js";
import type { Result } from "../host/child.js";
import { commandLine } from "../text.js";
import { SEEN } from "./elevation.js";

/** A command for which polkit asks. */
interface Command {
  readonly argv: readonly string[];
  /** Its stdin. */
  readonly input: string | undefined;
  /** systemd-run(1)'s path on the host. */
  readonly systemdRun: string;
}

/**
 * Runs a command on the host so that polkit can ask on our terminal; `call` runs one there with the terminal for its
 * stdin and stdout. Undefined: we have no terminal. Ctrl-C ends us as it does without a prompt.
 * What the host writes there does not pass through us: it has the terminal itself, as with any `flatpak-spawn --host`.
 *
 * Throws PortshimError `dismissed` if we survive a Ctrl-C, and what `call` throws.
 */
export async function onTerminal(
  command: Command,
  signal: AbortSignal | undefined,
  call: (argv: readonly string[], terminal: number) => Promise<Result>,
): Promise<Result | undefined> {
  const terminal = openTerminal();
  if (terminal === undefined) return undefined;
  let isLineOpen = true;
  try {
    const result = await call(onPty(command), terminal);
    const key = KEYS.find((number) => result.status === 128 + number);
    if (key !== undefined) await stopAllBy(key, signal);
    const words = wordsOf(result);
    isLineOpen = words !== SEEN;
    return { ...result, stderr: words };
  } finally {
    if (isLineOpen) startLine(terminal);
    closeSync(terminal);
  }
}

/**
 * Opens our controlling terminal, if the person there reads our messages and types for us: it is our stderr, and we are
 * in its foreground. Opened anew, so that flags which others set on it do not reach the server.
 */
function openTerminal(): number | undefined {
  try {
    const stat = readFileSync("/proc/self/stat", "latin1");
    // proc_pid_stat(5), after the name: state, parent, process group, session, terminal, its foreground process group.
    const fields = /^ \S \d+ ([1-9]\d*) \d+ ([1-9]\d*) \1 /.exec(stat.slice(stat.lastIndexOf(")") + 1));
    if (!fields || Number(fields[2]) !== fstatSync(2).rdev) return undefined;
    return openSync("/dev/tty", files.O_RDWR | files.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/**
 * The host's command that runs `argv` on a pty there, connected to its own stdin and stdout. pkexec and run0 ask only
 * on their controlling terminal, and ours cannot become that: it belongs to a session in the container.
 *
 * Not with script(1): since Fedora 42 it is in a package of its own, which CoreOS does not have.
 */
function onPty({ argv, input, systemdRun }: Command): string[] {
  const words = input === undefined ? "" : `${commandLine(["printf", "%s", input])} | `;
  // The shell survives a signal and reports it as a status, which systemd-run would not.
  const script = `trap : INT QUIT; ${words}${commandLine([...EMPTY_ENVIRONMENT, ...argv])} >/dev/null; exit`;
  const run = [systemdRun, "--user", "--pty", "--wait", "--collect", "/bin/sh", "-c", script];
  return ["/bin/sh", "-c", 'export XDG_RUNTIME_DIR="/run/user/$(id -u)"; exec "$@"', "sh", ...run];
}

/** What systemd-run said about itself, if the command did not run or did not finish. */
function wordsOf({ stderr }: Result): string {
  if (/^Main processes terminated with: code=exited/m.test(stderr)) return SEEN;
  return /^Running as unit: /m.test(stderr) ? "" : stderr;
}

/** What Ctrl-C and Ctrl-\ send to a terminal's foreground processes; while polkit asks, they are ordinary keys. */
const KEYS = [constants.signals.SIGINT, constants.signals.SIGQUIT];

/** Milliseconds for the signal to reach us. */
const PATIENCE = 500;

/** Sends the signal that the key would have sent. Throws PortshimError `dismissed`. */
async function stopAllBy(key: number, signal: AbortSignal | undefined): Promise<never> {
  process.kill(0, key);
  await sleep(PATIENCE, undefined, signal && { signal }).catch(() => {});
  throw new PortshimError("dismissed");
}

/** polkit leaves the cursor behind its prompt. */
function startLine(terminal: number): void {
  try {
    writeSync(terminal, "\n");
  } catch {
    // The terminal has hung up.
  }
}
