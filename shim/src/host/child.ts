import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import { withParent } from "../launcher/launcher.js";

/** How a program ended. */
export interface Result {
  /** Its exit status; 128+N where signal N ended it, 127 where it could not be started. */
  readonly status: number;
  /** The start of what it wrote, UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  /** It was stopped because its time was over. */
  readonly timedOut: boolean;
}

/** Who runs a program, where that is not as we are. */
export interface Identity {
  /** Ours by default, both of them. */
  readonly uid?: number;
  readonly gid?: number;
  /** Variables of theirs that differ from ours. */
  readonly env: NodeJS.ProcessEnv;
}

/** How a program is run. */
export interface RunOptions {
  /** Milliseconds until it is stopped. */
  readonly timeout: number;
  /** Stops it when it aborts. */
  readonly signal?: AbortSignal | undefined;
  readonly identity?: Identity | undefined;
  /** What it reads from its stdin, small enough for a pipe: it is there as a whole before the program looks. */
  readonly input?: string | undefined;
  /** A terminal's descriptor, which is its stdin and stdout instead. */
  readonly terminal?: number | undefined;
  /** Have it die when we do, even of KILL; see launcher.ts. */
  readonly dieWithUs?: boolean;
  /** Most bytes kept of either stream; default: 64 KiB. */
  readonly most?: number;
}

/** Most bytes kept of either stream: what the other side answers is not trusted to be short. */
const MOST_OUTPUT = 64 * 1024;

/** Milliseconds between TERM and KILL for a program that has to stop. */
const GRACE = 500;

/** The variables a bridge or pkexec needs; nothing else of the server's environment reaches them. */
const PASSED_ON = ["PATH", "HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/**
 * Runs a program from `/` with a small environment and no stdin but `input`, and resolves when it has ended, with what it
 * wrote; it never rejects. To be stopped is to get TERM, and half a second later KILL.
 */
export function run(argv: readonly string[], options: RunOptions): Promise<Result> {
  const { timeout, signal, identity, input, terminal, most = MOST_OUTPUT } = options;
  const [program = "", ...rest] = options.dieWithUs ? [...withParent(), ...argv] : argv;
  return new Promise((resolve) => {
    let timedOut = false;
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const env: NodeJS.ProcessEnv = {};
    for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
    Object.assign(env, identity?.env);
    const who = { uid: identity?.uid, gid: identity?.gid };
    let child: ChildProcess;
    const stdin = input === undefined ? "ignore" : "pipe";
    const stdio: StdioOptions = terminal === undefined ? [stdin, "pipe", "pipe"] : [terminal, terminal, "pipe"];
    try {
      child = spawn(program, rest, { cwd: "/", env, stdio, ...who });
    } catch (error) {
      // Some errors of spawn() are thrown, others are events; and without descriptors there are no streams.
      resolve({ status: 127, stdout: "", stderr: (error as Error).message, timedOut: false });
      return;
    }

    let kill: NodeJS.Timeout | undefined;
    const stop = () => {
      child.kill("SIGTERM");
      kill ??= setTimeout(() => child.kill("SIGKILL"), GRACE);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, timeout);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();

    const end = (status: number, failure = "") => {
      clearTimeout(timer);
      clearTimeout(kill);
      signal?.removeEventListener("abort", stop);
      const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString("utf8");
      resolve({ status, stdout: text(output.stdout), stderr: text(output.stderr) + failure, timedOut });
    };
    for (const name of ["stdout", "stderr"] as const) {
      let kept = 0;
      child[name]?.on("data", (chunk: Buffer) => {
        output[name].push(chunk.subarray(0, most - kept));
        kept = Math.min(most, kept + chunk.length);
      });
    }
    // It may end without having read it.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    child.on("error", (error) => end(127, error.message));
    // A grandchild may hold the pipes open for as long as it lives.
    child.on("exit", () =>
      setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, GRACE).unref(),
    );
    child.on("close", (status, name) => end(status ?? 128 + (name ? constants.signals[name] : 0)));
  });
}
