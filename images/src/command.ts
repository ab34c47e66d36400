import type { Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Progress } from "./progress.js";

/** What a command is given. */
export interface Invocation {
  readonly engine: Engine;
  readonly operands: readonly string[];
  /** By the option's long name; an array if it can be repeated. */
  readonly options: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  /** Prints to stdout. */
  say(text: string): void;
  readonly progress: Progress;
}

/** An option, as parseArgs() of node:util takes it. */
export interface Option {
  readonly type: "string" | "boolean";
  readonly short?: string;
  /** It can be repeated. */
  readonly multiple?: boolean;
  /** The value's name in the help, if it takes one. */
  readonly value?: string;
  /** One line for --help. */
  readonly what: string;
}

/** `portshim-images NAME`. */
export interface Command {
  /** The names of its operands, in the help. */
  readonly takes: string;
  /** One line for --help. */
  readonly what: string;
  /** By their long names. */
  readonly options: Readonly<Record<string, Option>>;
  /** How many operands it takes, at least and at most. */
  readonly operands: readonly [number, number];
  /** Throws ImagesError. */
  run(invocation: Invocation): Promise<void>;
}

/**
 * The value of an option that takes one.
 *
 * Throws ImagesError `bad-usage` if it is empty.
 */
export function value({ options }: Invocation, name: string): string | undefined {
  const given = options[name];
  if (given === "") throw new ImagesError("bad-usage", `--${name} needs a value`);
  return typeof given === "string" ? given : undefined;
}
