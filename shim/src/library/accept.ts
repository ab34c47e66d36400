import { ACCEPTED, accepting, DEFAULTS, type Options, shown } from "../attempt/options.js";
import type { EnsureOptions, Log } from "../contract.js";
import { PortshimError } from "../error.js";

/** A program's options, checked. */
interface Accepted {
  readonly options: Options;
  readonly signal: AbortSignal | undefined;
  /** Does nothing if there is no logger. */
  readonly log: Log;
}

/**
 * Checks the options of a program, which can be anything.
 *
 * Throws PortshimError `bad-usage`.
 */
export function accept(given: EnsureOptions): Accepted {
  accepting("options", given, () => {
    if (typeof given !== "object" || given === null) throw new Error("an object");
  });
  // Each is read once: a getter could give something else after the check.
  const { start, via, timeout = DEFAULTS.timeout, signal, logger = () => {}, ...others } = given;
  const [stray] = Object.keys(others);
  if (stray !== undefined) {
    throw new PortshimError(
      "bad-usage",
      `unknown option ${shown(stray)}; known options: start, via, timeout, signal, logger`,
    );
  }
  const options: Options = {
    ...DEFAULTS,
    start: start === undefined ? start : accepting("start", start, () => ACCEPTED.start(start)),
    via: via === undefined ? via : accepting("via", via, () => ACCEPTED.via(via)),
    timeout: accepting("timeout", timeout, () => ACCEPTED.timeout(timeout)),
  };
  accepting("signal", signal, () => {
    if (signal !== undefined && !isAbortSignal(signal)) throw new Error("an AbortSignal");
  });
  accepting("logger", logger, () => {
    if (typeof logger !== "function") throw new Error("a function");
  });
  return { options, signal, log: logger };
}

/** By its shape: `instanceof` fails for another realm's (a test runner's, a polyfill's). */
function isAbortSignal(value: Partial<AbortSignal> | null): boolean {
  if (typeof value !== "object" || value === null || typeof value.aborted !== "boolean") return false;
  const { addEventListener, removeEventListener, throwIfAborted } = value;
  return [addEventListener, removeEventListener, throwIfAborted].every((method) => typeof method === "function");
}
