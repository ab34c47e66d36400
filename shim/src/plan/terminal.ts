import { closeSync, constants as files, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { PortshimError } from "../failure.js";
import { EMPTY_ENVIRONMENT } from "../host/bridge.js";
import type { Result } from "../host/child.js";
import { commandLine } from "../text.js";
import { SEEN } from "./elevation.js";

/** A command that has polkit ask. */
interface Command {
  readonly argv: readonly string[];
  /** What it reads from its stdin. */
  readonly input: string | undefined;
  /** Where the host has systemd-run(1). */
  readonly systemdRun: string;
}

/**
 * Runs a command, which polkit then can ask for on our terminal, by `call`, which runs one on the host with a terminal for its stdin
 * and stdout. Undefined: we have no terminal. A Ctrl-C there ends us as it would have without a prompt.
 *
 * Throws PortshimError `dismissed`, if we go on after that, and what `call` throws.
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
 * Opens our controlling terminal, if the person there sees what we say and types for us: it is our stderr, and we are in its
 * foreground. Flags that others set on this descriptor do not reach the server.
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
 * The host's command that runs `argv` on a pty there, and relays between that and its own stdin and stdout. pkexec and run0 ask on
 * their controlling terminal only, which ours, as that of a session in a container, cannot be.
 *
 * Not by script(1): since Fedora 42 that is a package of its own, which CoreOS lacks.
 */
function onPty({ argv, input, systemdRun }: Command): string[] {
  const words = input === undefined ? "" : `${commandLine(["printf", "%s", input])} | `;
  // A shell that lives on turns a signal into a status, which systemd-run would not.
  const script = `trap : INT QUIT; ${words}${commandLine([...EMPTY_ENVIRONMENT, ...argv])} >/dev/null; exit`;
  const run = [systemdRun, "--user", "--pty", "--wait", "--collect", "/bin/sh", "-c", script];
  return ["/bin/sh", "-c", 'export XDG_RUNTIME_DIR="/run/user/$(id -u)"; exec "$@"', "sh", ...run];
}

/** What systemd-run said of itself, if the command did not run, or not to its end. */
function wordsOf({ stderr }: Result): string {
  if (/^Main processes terminated with: code=exited/m.test(stderr)) return SEEN;
  return /^Running as unit: /m.test(stderr) ? "" : stderr;
}

/** What a terminal's Ctrl-C and Ctrl-\ send to the processes in its foreground; while polkit asks, they are keys like others. */
const KEYS = [constants.signals.SIGINT, constants.signals.SIGQUIT];

/** Milliseconds for that to come back to us. */
const PATIENCE = 500;

/** Sends what the key would have sent. Throws PortshimError `dismissed`. */
async function stopAllBy(key: number, signal: AbortSignal | undefined): Promise<never> {
  process.kill(0, key);
  await sleep(PATIENCE, undefined, signal && { signal }).catch(() => {});
  throw new PortshimError("dismissed");
}

/** The prompt's line has no end of its own. */
function startLine(terminal: number): void {
  try {
    writeSync(terminal, "\n");
  } catch {
    // It has hung up.
  }
}
