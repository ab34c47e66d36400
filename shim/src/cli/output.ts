import { writeSync } from "node:fs";
import type { Options } from "../attempt/options.js";
import type { Log } from "../contract.js";
import { PortshimError } from "../error.js";
import { printable } from "../text.js";

/** Says what --quiet and --verbose let through. */
export function logger({ quiet, verbose }: Options): Log {
  return (level, message) => {
    if (level === "notice" || (level === "info" && !quiet) || (level === "detail" && verbose)) say(message);
  };
}

/** Writes to stdout. Throws PortshimError `output-failed`: what was asked for was not said. */
export function print(text: string): void {
  try {
    write(1, text, Number.POSITIVE_INFINITY);
  } catch (error) {
    // Who closes a pipe has read enough (head).
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EPIPE") throw new PortshimError("output-failed", printable(message));
  }
}

/** Says it to the person, on stderr, if that is possible. */
export function say(message: string): void {
  try {
    write(2, `portshim: ${message}\n`, PATIENCE);
  } catch {
    // A closed or full stderr must not keep the server from starting.
  }
}

/** Milliseconds between attempts to write to a full pipe that does not block. */
const PAUSE = 10;

/** Milliseconds for a full stderr to be read: the server waits, and so do signals. */
const PATIENCE = 1000;

/** Writes all of it, or throws what the system says. */
function write(fd: number, text: string, patience: number): void {
  const bytes = Buffer.from(text);
  let waited = 0;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || waited >= patience) throw error;
      waited += PAUSE;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
    }
  }
}
