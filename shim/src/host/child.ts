import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** How a program ended. */
export interface Result {
  /** Its exit status; 128+N if signal N ended it. */
  readonly status: number;
  /** The start of what it wrote, UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  /** It was stopped because its time was over. */
  readonly timedOut: boolean;
  /** It could not be started, and `stderr` says why; its status is 127, like that of a shell. */
  readonly notStarted?: boolean;
}

/** Who runs a program, if that is not us. */
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
  /** Have it die when we do, even of KILL; see withParent(). */
  readonly dieWithUs?: boolean;
  /** Most bytes kept of either stream; default: 64 KiB. */
  readonly most?: number;
}

/** Most bytes kept of either stream: what the other side answers is not trusted to be short. */
const MOST_OUTPUT = 64 * 1024;

/** Milliseconds between TERM and KILL for a program that has to stop, and after that until nobody waits for it any more. */
const GRACE = 500;

/** The variables a bridge or pkexec needs; nothing else of the server's environment reaches them. */
const PASSED_ON = ["PATH", "HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/**
 * Runs a program from `/` with a small environment and no stdin but `input`, and resolves when it has ended, with what it
 * wrote; it never rejects. To be stopped is to get TERM, half a second later KILL, and as much later to be given up.
 */
export function run(argv: readonly string[], options: RunOptions): Promise<Result> {
  return start(argv, options, options.input === undefined ? "ignore" : "pipe").ended;
}

/** A program that answers first, and is then told on its stdin what to do. */
export interface Running {
  readonly ended: Promise<Result>;
  readonly isOver: boolean;
  /** Resolves with its stdout once `wanted` is found in it, which stops the clock; or when it has ended without. */
  says(wanted: RegExp): Promise<string>;
  /** Drops what it has said so far, and gives it its input and, from now on, so many milliseconds. */
  proceed(input: string, timeout: number): void;
}

/** As run(), but with a stdin that stays open for proceed(). */
export function start(
  argv: readonly string[],
  { timeout, signal, identity, input, terminal, dieWithUs = false, most = MOST_OUTPUT }: RunOptions,
  stdin: "ignore" | "pipe" = "pipe",
): Running {
  const [program = "", ...rest] = dieWithUs ? [...withParent(), ...argv] : argv;
  const env: NodeJS.ProcessEnv = {};
  for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
  Object.assign(env, identity?.env);
  const who = { uid: identity?.uid, gid: identity?.gid };
  const stdio: StdioOptions = terminal === undefined ? [stdin, "pipe", "pipe"] : [terminal, terminal, "pipe"];
  let child: ChildProcess;
  try {
    child = spawn(program, rest, { cwd: "/", env, stdio, ...who });
  } catch (error) {
    // Some errors of spawn() are thrown, others are events; and without descriptors there are no streams.
    const ended = Promise.resolve(notStarted(error as Error));
    return { ended, isOver: true, says: async () => "", proceed: () => {} };
  }

  let isOver = false;
  let timedOut = false;
  let timer: NodeJS.Timeout | undefined;
  let killer: NodeJS.Timeout | undefined;
  let settle: (result: Result) => void;
  const ended = new Promise<Result>((resolve) => {
    settle = resolve;
  });
  const end = (result: Result) => {
    isOver = true;
    clearTimeout(timer);
    clearTimeout(killer);
    signal?.removeEventListener("abort", stop);
    settle(result);
  };
  const endWith = (status: number) => end({ status, stdout: text("stdout"), stderr: text("stderr"), timedOut });
  const closeOutputs = () => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  const stop = () => {
    child.kill("SIGTERM");
    killer ??= setTimeout(() => {
      child.kill("SIGKILL");
      // The kernel can keep it, for a disk that does not answer, and Node can fail to see its end.
      killer = setTimeout(() => {
        closeOutputs();
        child.unref();
        endWith(128 + 9);
      }, GRACE);
    }, GRACE);
  };
  const allow = (milliseconds: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, milliseconds);
  };
  allow(timeout);
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();

  const empty = () => ({ stdout: [] as Buffer[], stderr: [] as Buffer[], kept: { stdout: 0, stderr: 0 } });
  let output = empty();
  const text = (name: "stdout" | "stderr") => Buffer.concat(output[name]).toString("utf8");
  for (const name of ["stdout", "stderr"] as const) {
    // Then there is no more to read.
    child[name]?.on("error", () => {});
    child[name]?.on("data", (chunk: Buffer) => {
      const part = chunk.subarray(0, most - output.kept[name]);
      // It can go on for as long as it has time.
      if (part.length > 0) output[name].push(part);
      output.kept[name] += part.length;
    });
  }
  // It can end without having read it.
  child.stdin?.on("error", () => {});
  if (input !== undefined) child.stdin?.end(input);
  // A grandchild can hold the pipes open for as long as it lives.
  child.on("exit", () => setTimeout(closeOutputs, GRACE).unref());
  child.on("error", (error) => {
    // Else it has become root by now, and we are not permitted to stop it.
    if (child.pid === undefined) end(notStarted(error));
  });
  child.on("close", (status, name) => endWith(status ?? 128 + (name ? require("node:os").constants.signals[name] : 0)));
  return {
    ended,
    get isOver() {
      return isOver;
    },
    says: (wanted) =>
      new Promise((found) => {
        const look = () => {
          const said = text("stdout");
          if (!wanted.test(said)) return;
          child.stdout?.off("data", look);
          clearTimeout(timer);
          found(said);
        };
        child.stdout?.on("data", look);
        ended.then(({ stdout }) => found(stdout));
      }),
    proceed(next, milliseconds) {
      if (isOver) return;
      output = empty();
      allow(milliseconds);
      child.stdin?.end(next);
    },
  };
}

function notStarted({ message }: Error): Result {
  return { status: 127, stdout: "", stderr: message, timedOut: false, notStarted: true };
}

/**
 * The command before a command that has the kernel end it when this process ends, even by KILL: prctl(2),
 * PR_SET_PDEATHSIG. Exec of a set-user-ID program clears that. Empty on a machine for which there is no launcher.
 */
function withParent(): string[] {
  // In npm's package, and in an image.
  const places = [`../../launcher/portshim-${require("node:os").machine()}`, "../../../bin/portshim"];
  const launcher = places.map((path) => join(__dirname, path)).find((path) => existsSync(path));
  return launcher === undefined ? [] : [launcher, "--with-parent", String(process.pid)];
}
