import { build } from "../../../images/lib/build.js";
import type { Option as ImagesOption } from "../../../images/lib/command.js";
import { COMMON, COMMANDS as IMAGES_COMMANDS } from "../../../images/lib/commands.js";
import { RECIPES } from "../../../images/lib/recipe.js";
import { optionsOf, type Purpose, type Option as ShimOption, type ValueFlag } from "../../../shim/lib/cli/arguments.js";
import { COMMANDS } from "../../../shim/lib/cli/commands.js";
import { WAYS } from "../../../shim/lib/cli/root.js";
import { ROUTES } from "../../../shim/lib/plan/route.js";

// The two programs as their own tables describe them, for the pages and for the completions.

/** A word and what it stands for, in one line. */
export interface Word {
  readonly name: string;
  readonly what: string;
}

/** An option. */
export interface Option {
  readonly flag: string;
  /** The same as one letter, with its dash. */
  readonly short?: string | undefined;
  /** The value's name; undefined: the option is a switch. */
  readonly value?: string | undefined;
  /** The value is the next word; else it follows "=". */
  readonly isApart?: boolean;
  readonly isRepeatable?: boolean | undefined;
  readonly help: string;
  readonly variable?: string | undefined;
  /** How the value is completed: by a list of these, with commas, or by a user's name; undefined: it cannot be. */
  readonly values?: readonly Word[] | "user" | undefined;
}

/** What a command takes, or a program without one of its commands. */
export interface Command {
  /** Empty for the program. */
  readonly name: string;
  readonly options: readonly Option[];
  /** The name of its operand; undefined: it takes none. */
  readonly operand?: string;
  /** What that can be, as far as it is known. */
  readonly operands: readonly Word[];
}

/** A program. */
export interface Program {
  readonly name: string;
  readonly commands: readonly (Command & Word)[];
  readonly alone: Command;
}

function values(flag: ValueFlag, purpose: Purpose): Option["values"] {
  const completions: Readonly<Record<ValueFlag, Option["values"]>> = {
    "--start": undefined,
    "--via": purpose === "start" || purpose === "check" ? ROUTES : ROUTES.filter(isWay),
    "--user": "user",
    "--timeout": undefined,
    "--ports": undefined,
  };
  return completions[flag];
}

/** Whether the host's root can be asked by it. */
function isWay(route: Word): boolean {
  return WAYS.some(({ name }) => name === route.name);
}

function shimOptions(purpose: Purpose): Option[] {
  return optionsOf(purpose).map((option: ShimOption) => ({
    ...option,
    values: values(option.flag as ValueFlag, purpose),
  }));
}

export const PORTSHIM: Program = {
  name: "portshim",
  commands: COMMANDS.map(({ name, what }) => ({ name, what, options: shimOptions(name), operands: [] })),
  alone: {
    name: "",
    options: shimOptions("start"),
    operand: "COMMAND",
    operands: [{ name: "--", what: "the command to start comes next" }],
  },
};

/** The options in a table of portshim-images. */
export function imagesOptions(table: Readonly<Record<string, ImagesOption>>): Option[] {
  return Object.entries(table).map(([name, { short, value, multiple, what }]) => {
    const flag = `--${name}`;
    return { flag, short: short && `-${short}`, value, isApart: true, isRepeatable: multiple, help: what };
  });
}

const { host, help, version } = COMMON;

export const PORTSHIM_IMAGES: Program = {
  name: "portshim-images",
  commands: Object.entries(IMAGES_COMMANDS).map(([name, command]) => ({
    name,
    what: command.what,
    options: imagesOptions({ ...command.options, host, help }),
    operand: command.takes.replace(/\W/g, ""),
    operands: command === build ? RECIPES : [],
  })),
  alone: { name: "", options: imagesOptions({ help, version }), operand: "COMMAND", operands: [] },
};
