import type { Command, Option, Program } from "../program.js";
import { fill, functionOf, quoted } from "./template.js";

/** The completion of a program for zsh. */
export function zsh(program: Program): string {
  const all = [...program.commands, program.alone];
  return fill("zsh", program, {
    values: all.flatMap((command) => values(program, command)).join(""),
    commandwords: program.commands.map(({ name, what }) => `\t\t${quoted(`${name}:${what}`, "zsh")}`).join("\n"),
    options: all.map((command) => optionCase(program, command)).join("\n"),
  });
}

/** A function for each option whose value can be completed. */
function values(program: Program, command: Command): string[] {
  return command.options.flatMap((option) => {
    const { value = "", values } = option;
    if (values === undefined) return [];
    const name = valuesOf(program, command, option);
    if (values === "user") return [`${name}() {\n\tif compset -P '*:'; then _groups "$@"; else _users "$@"; fi\n}\n\n`];
    const words = values.map((word) => quoted(`${word.name}[${escaped(word.what)}]`, "zsh"));
    return [`${name}() {\n\t_values -s , ${value.split(",")[0]} \\\n\t\t${words.join(" \\\n\t\t")}\n}\n\n`];
  });
}

/** Its name. */
function valuesOf({ name }: Program, command: Command, { flag }: Option): string {
  return [functionOf(name), command.name, flag.slice(2)].filter(Boolean).join("_");
}

function optionCase(program: Program, command: Command): string {
  const { name, options, operand, operands } = command;
  const specs = options.flatMap((option) => specsOf(program, command, option));
  if (operand !== undefined) specs.push(`*:${operand}:${functionOf(program.name)}_operand`);
  const words = operands.map((word) => `${word.name}:${word.what}`);
  const lines = [...list("specs=", specs), ...(words.length > 0 ? list("operands+=", words) : []), ";;"];
  return `\t${name || "''"})\n\t\t${lines.join("\n\t\t")}`;
}

function list(assignment: string, words: readonly string[]): string[] {
  return [`${assignment}(`, ...words.map((word) => `\t${quoted(word, "zsh")}`), ")"];
}

/** An option as _arguments takes it: each of its forms excludes the other. */
function specsOf(program: Program, command: Command, option: Option): string[] {
  const { flag, short, value, values, help, isRepeatable } = option;
  const action = values === undefined ? " " : valuesOf(program, command, option);
  const rest = `[${escaped(help)}]${value === undefined ? "" : `:${escaped(value)}:${action}`}`;
  const long = `${flag}${value === undefined ? "" : "="}${rest}`;
  if (short !== undefined) return [`(${flag})${short}+${rest}`, `(${short})${long}`];
  return [isRepeatable ? `*${long}` : long];
}

/** A description between brackets. */
function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}
