import { createConnection, createServer, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { PortshimError } from "./failure.js";
import { printable } from "./text.js";

/**
 * The lock's name: an abstract unix socket, so it lives in the network namespace, exactly as wide as the threshold, and
 * the kernel frees it when its holder dies. Node 20 pads such a name to 108 bytes and later ones do not; at 107 they
 * agree.
 */
export const NAME = `\0${"portshim: net.ipv4.ip_unprivileged_port_start ".padEnd(107, ".")}`;

/** What a holder says at once; one that does not within PATIENCE is a stranger's socket, and is ignored. */
const GREETING = "portshim\n";

/** Milliseconds that a stranger on the lock may cost. */
const PATIENCE = 2000;

/** Milliseconds for which a refusal holds for those who come after it. */
const LINGER = 1000;

/** Most characters taken from a holder: anybody may be one. */
const MOST = 4096;

/** The lock, held. */
export interface Lock {
  /** Tells those who wait how it ended (undefined: well, else the sentence of a refusal), and frees the lock. */
  release(refusal?: string): Promise<void>;
}

/** What waiting for another holder led to. */
export type Outcome =
  | { readonly lock: Lock }
  /** The holder was refused: not to be asked again. */
  | { readonly refusal: string }
  /** The holder is done or gone; look again. */
  | "over"
  /** Somebody sits on the name who is no portshim. */
  | "stranger";

/** How long to wait, and until when. */
export interface Waiting {
  /** Stops it, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that another's turn may take; then it is taken for a stranger, who must not keep us waiting. */
  readonly patience: number;
}

/** How often the name may be taken and nobody be there; then somebody sits on it who does not listen. */
const MOST_TRIES = 40;

/**
 * Does `work` with the lock held: one prompt at a time in this network namespace, and one for all who start together.
 * After another's turn `done` is asked first, and what it gives is the result.
 *
 * Throws PortshimError `refused-another` where the other was refused; else what `work` throws, or the reason of the
 * signal.
 */
export async function exclusively<T>(
  work: () => Promise<T>,
  done: () => T | undefined,
  { signal, patience }: Waiting,
): Promise<T> {
  const deadline = Date.now() + patience;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const outcome = await take(deadline - Date.now(), signal);
    if (typeof outcome === "object" && "lock" in outcome) return locked(work, outcome.lock, signal);
    signal?.throwIfAborted();
    if (outcome === "stranger") break;
    if (outcome !== "over") throw new PortshimError("refused-another", outcome.refusal);
    const result = done();
    if (result !== undefined) return result;
    // Twenty may be waiting, and each of them has its turn; only who is never there is a nuisance.
    await setTimeout(tries * 2);
  }
  return work();
}

async function locked<T>(work: () => Promise<T>, lock: Lock, signal: AbortSignal | undefined): Promise<T> {
  try {
    // It may have aborted while the lock was being taken, which must then be given back.
    signal?.throwIfAborted();
    const result = await work();
    await lock.release();
    return result;
  } catch (error) {
    // Only a person's or a policy's no is binding for the others; who was merely stopped leaves it to the next.
    const final = error instanceof PortshimError && error.isRefusal && !signal?.aborted;
    await lock.release(final ? error.message : undefined);
    throw error;
  }
}

/** Takes the lock, or waits for who holds it, `patience` milliseconds at most, or until `signal` aborts ("over"). */
export async function take(patience: number, signal?: AbortSignal): Promise<Outcome> {
  return (await hold()) ?? (await wait(patience, signal));
}

function hold(): Promise<{ lock: Lock } | undefined> {
  return new Promise((resolve) => {
    const waiting = new Set<Socket>();
    let ending: string | undefined;
    const tell = (socket: Socket, end: string) => socket.end(end, () => socket.destroy());
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("close", () => waiting.delete(socket));
      socket.write(GREETING);
      if (ending === undefined) waiting.add(socket);
      else tell(socket, ending);
    });
    const release = async (refusal = "") => {
      // "\n" alone: it ended well.
      ending = `${printable(refusal)}\n`;
      for (const socket of waiting) tell(socket, ending);
      // Who starts at the same time may be slower than a policy's no.
      if (refusal !== "") await setTimeout(LINGER);
      await new Promise((released) => server.close(released));
    };
    // EADDRINUSE; or a system without abstract sockets, where there is nothing to wait for either.
    server.on("error", () => resolve(undefined));
    // Exclusive: else the workers of a cluster would share one handle, and each of them hold the lock.
    server.listen({ path: NAME, exclusive: true }, () => resolve({ lock: { release } }));
  });
}

function wait(patience: number, signal?: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = createConnection(NAME);
    const end = (outcome: Outcome) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      socket.destroy();
      resolve(outcome);
    };
    const stop = () => end("over");
    const give = (milliseconds: number) => globalThis.setTimeout(() => end("stranger"), milliseconds);
    let timer = give(PATIENCE);
    signal?.addEventListener("abort", stop, { once: true });
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      heard += text;
      if (heard.length > MOST || !GREETING.startsWith(heard.slice(0, GREETING.length))) end("stranger");
      else if (heard.length >= GREETING.length) {
        clearTimeout(timer);
        timer = give(Math.max(0, patience));
      }
    });
    // Freed between our try and our call, or its holder died.
    socket.on("error", () => end("over"));
    socket.on("close", () => {
      const [refusal = "", rest] = heard.slice(GREETING.length).split("\n");
      end(refusal !== "" && rest !== undefined ? { refusal: printable(refusal) } : "over");
    });
    // While we tried to take it.
    if (signal?.aborted) stop();
  });
}
