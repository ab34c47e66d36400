import { PortshimError } from "../error.js";
import { KERNEL_DEFAULT } from "../here/threshold.js";
import { printable } from "../text.js";

/** What a person asked for, by flags and variables, or a program, through the library. */
export interface Options {
  /** The threshold asked for, 0–1024; undefined: sysctl.d decides. */
  start: number | undefined;
  /** What asked for it, for messages: "--start", "PORTSHIM_START", or "This server". */
  startBy: string | undefined;
  /** Names of the routes to try, in this order; undefined: all, least intrusive first. */
  via: readonly string[] | undefined;
  /** USER[:GROUP] that the server is to run as; undefined: as whoever started us. */
  user: string | undefined;
  /** Seconds that a password prompt can stay open, 1–86400. */
  timeout: number;
  dryRun: boolean;
  quiet: boolean;
  verbose: boolean;
  /** `check` prints JSON. */
  json: boolean;
  /** `check` binds the wanted ports for a moment. */
  bind: boolean;
  /** `persist` or `guard` undoes what it did. */
  remove: boolean;
  /** `guard` leaves these ports open, 1–1023; undefined: what is wanted, and the web's. */
  ports: readonly number[] | undefined;
  /** `guard` loads its rules. */
  apply: boolean;
  help: boolean;
  version: boolean;
}

/** The defaults. */
export const DEFAULTS: Options = {
  start: undefined,
  startBy: undefined,
  via: undefined,
  user: undefined,
  timeout: 120,
  dryRun: false,
  quiet: false,
  verbose: false,
  json: false,
  bind: false,
  remove: false,
  ports: undefined,
  apply: false,
  help: false,
  version: false,
};

/** Longest time that a prompt can stay open, in seconds: a day. */
const LONGEST_TIMEOUT = 86400;

/**
 * Checks each value, of the command line or of a program. Throws an Error if it is invalid: what it must be, as the
 * middle of a sentence.
 */
export const ACCEPTED = {
  start: (value: unknown) => integer(value, 0, KERNEL_DEFAULT),
  timeout: (value: unknown) => integer(value, 1, LONGEST_TIMEOUT),
  ports: (value: unknown): readonly number[] => {
    const isPort = (port: unknown) =>
      Number.isInteger(port) && (port as number) >= 1 && (port as number) < KERNEL_DEFAULT;
    if (!Array.isArray(value) || value.length === 0 || !value.every(isPort)) {
      throw new Error(`one or more integers from 1 to ${KERNEL_DEFAULT - 1}, with commas between them`);
    }
    return value as number[];
  },
  via: (value: unknown): readonly string[] => {
    const names: unknown[] = Array.isArray(value) ? [...value] : [];
    // Loaded only for this: most starts name none.
    const routes: readonly string[] = require("../plan/route.js").ROUTES.map(({ name }) => name);
    const isRoute = (name: unknown): name is string => routes.some((route) => route === name);
    if (names.length === 0 || !names.every(isRoute)) throw new Error(`one or more of ${routes.join(", ")}`);
    return names;
  },
};

function integer(value: unknown, low: number, high: number): number {
  const isGood = typeof value === "number" && Number.isInteger(value) && value >= low && value <= high;
  if (!isGood) throw new Error(`an integer from ${low} to ${high}`);
  return value;
}

/** Completes the sentence whose middle `action` throws. Throws PortshimError `bad-usage`. */
export function accepting<T>(name: string, value: unknown, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new PortshimError(
      "bad-usage",
      `${name} must be ${printable((error as Error).message)}, not ${described(value)}`,
    );
  }
}

/** Somebody else's word, quoted for a sentence. */
export function shown(word: string): string {
  return `"${printable(word)}"`;
}

/** Any value, for a sentence: a list by its elements, an object only as "an object". */
function described(value: unknown): string {
  if (Array.isArray(value)) return printable(`[${value.slice(0, 10).map(plainly).join(", ")}]`);
  return plainly(value);
}

function plainly(value: unknown): string {
  if (typeof value === "string") return shown(value);
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return printable(String(value));
}
