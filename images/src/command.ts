import type { ParseArgsConfig } from "node:util";
import type { Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Progress } from "./progress.js";

/** What the person gave to a command. */
export interface Invocation {
  readonly engine: Engine;
  readonly operands: readonly string[];
  /** By the option's long name; several where it may be repeated. */
  readonly options: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  /** Prints what was asked for. */
  say(text: string): void;
  readonly progress: Progress;
}

/** A command: `portshim-images NAME`. */
export interface Command {
  /** What follows its name. */
  readonly usage: string;
  /** What it does: a line of the help. */
  readonly what: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  /** How many operands it takes, at least and at most. */
  readonly operands: readonly [number, number];
  /** Throws ImagesError. */
  run(invocation: Invocation): Promise<void>;
}

/**
 * The value of an option that takes one.
 *
 * Throws ImagesError `bad-usage` where it is empty.
 */
export function value({ options }: Invocation, name: string): string | undefined {
  const given = options[name];
  if (given === "") throw new ImagesError("bad-usage", `--${name} needs a value`);
  return typeof given === "string" ? given : undefined;
}
