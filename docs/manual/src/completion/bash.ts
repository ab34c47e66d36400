import type { Command, Option, Program, Word } from "../program.js";
import { fill, typed } from "./template.js";

/** The completion of a program for bash. */
export function bash(program: Program): string {
  const all = [...program.commands, program.alone];
  return fill("bash", program, {
    options: all.map(optionCase).join("\n"),
    values: all.flatMap(valueCases).join("\n"),
  });
}

function optionCase({ name, options, operands }: Command): string {
  const flags = options.flatMap((option) => (option.short ? [option.short, typed(option)] : [typed(option)]));
  return `\t\t${name || "''"}) options=(${flags.join(" ")}) operands=(${names(operands)}) ;;`;
}

function valueCases({ name, options }: Command): string[] {
  const taking = options.filter(({ value }) => value !== undefined);
  return taking.map((option) => {
    const flags = [option.flag, option.short].flatMap((flag) => (flag ? [`${name}:${flag}`] : []));
    return `\t\t${flags.join(" | ")}) ${kind(option)} ;;`;
  });
}

function kind({ values }: Option): string {
  if (values === undefined) return "kind=none";
  return values === "user" ? "kind=user" : `kind=list words=(${names(values)})`;
}

function names(words: readonly Word[]): string {
  return words.map(({ name }) => name).join(" ");
}
