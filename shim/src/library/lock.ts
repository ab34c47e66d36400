import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, mkdirSync, openSync, writeSync } from "node:fs";

import { PortshimError } from "../error.js";
import { networkNamespaceOf } from "../here/place.js";

/** How long to wait for the lock. */
interface Waiting {
  /** Stops waiting. */
  readonly signal: AbortSignal | undefined;
  /** Milliseconds to wait at most: a holder that was stopped must not block the others. */
  readonly patience: number;
}

/** Milliseconds from one look for a refusal to the next. */
const INTERVAL = 10;

/** Milliseconds by which the clock of the files' times can lag behind (a tick of 100 Hz). */
const TICK = 10;

/**
 * Does `work` with the lock held: one prompt at a time in this network namespace, and one for all that start together.
 * Once the lock is ours, `done` is called first; if it returns a result, that is ours.
 *
 * The lock is the same as the launcher's; open_lock() in launcher.c says why it is where it is.
 *
 * Throws PortshimError `refused-another` if another process was refused while we waited; else what `work` throws, or
 * the signal's reason.
 */
export async function exclusively<T>(work: () => Promise<T>, done: () => T | undefined, waiting: Waiting): Promise<T> {
  const { signal } = waiting;
  const started = Date.now() - TICK;
  const lock = openLock(process.env.XDG_RUNTIME_DIR);
  if (lock === undefined) return work();
  const isRefused = () => {
    const { size, mtimeMs } = fstatSync(lock);
    return size > 0 && mtimeMs >= started;
  };
  try {
    await take(lock, waiting, isRefused);
    signal?.throwIfAborted();
    const result = done();
    if (result !== undefined) return result;
    if (isRefused()) throw new PortshimError("refused-another");
    return await work();
  } catch (error) {
    const isRefusal = error instanceof PortshimError && error.isRefusal && error.code !== "refused-another";
    // The file's modification time is the time of the refusal.
    if (isRefusal && !signal?.aborted) note(lock);
    throw error;
  } finally {
    closeSync(lock);
  }
}

/** On a full disk, for example, it stays a refusal that nobody else hears of. */
function note(lock: number): void {
  try {
    writeSync(lock, "\0", 0);
  } catch {}
}

/** A descriptor of the lock's file; undefined if there is no folder that only this user can enter. */
function openLock(runtime: string | undefined): number | undefined {
  const namespace = networkNamespaceOf("self");
  const uid = process.getuid?.();
  if (namespace === undefined || uid === undefined) return undefined;
  const temporary = `/tmp/portshim-${uid}`;
  for (const folder of [runtime, `/run/user/${uid}`, temporary]) {
    if (!folder?.startsWith("/")) continue;
    try {
      if (folder === temporary) mkdirSync(temporary, { recursive: true, mode: 0o700 });
      return openIn(folder, `portshim-${namespace}.lock`, uid);
    } catch {}
  }
  return undefined;
}

/** Throws an Error if others can enter the folder. */
function openIn(path: string, name: string, uid: number): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_RDWR, O_CREAT, O_NONBLOCK } = constants;
  const folder = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const status = fstatSync(folder);
    if (status.uid !== uid || (status.mode & 0o7777) !== 0o700) throw new Error(`${path} is open to others`);
    return openSync(`/proc/self/fd/${folder}/${name}`, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } finally {
    closeSync(folder);
  }
}

/**
 * flock(2) locks an open file, which a child shares: flock(1) of util-linux or busybox takes the lock for us. Resolves
 * when it has the lock, if there is no flock(1), or if waiting is over: also with a refusal, for one that has started
 * since, and asks again, can have its turn before us.
 */
function take(lock: number, { patience, signal }: Waiting, isRefused: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn("flock", ["3"], { stdio: ["ignore", "ignore", "ignore", lock] });
    const stop = () => child.kill("SIGKILL");
    const timer = setTimeout(stop, patience);
    const looking = setInterval(() => isRefused() && stop(), INTERVAL);
    signal?.addEventListener("abort", stop, { once: true });
    const end = () => {
      clearTimeout(timer);
      clearInterval(looking);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    child.on("error", end);
    child.on("exit", end);
    if (signal?.aborted) stop();
  });
}
