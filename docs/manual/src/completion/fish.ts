import type { Command, Option, Program, Word } from "../program.js";
import { fill, functionOf, quoted } from "./template.js";

/** The completion of a program for fish. */
export function fish(program: Program): string {
  const all = [...program.commands, program.alone];
  return fill("fish", program, {
    completions: [
      ...program.commands.map(
        (word) => `complete -c ${program.name} -n ${functionOf(program.name)}_is_first ${operand(word)}`,
      ),
      ...all.flatMap((command) => completions(program, command)),
    ].join("\n"),
  });
}

function completions({ name }: Program, command: Command): string[] {
  const called = functionOf(name);
  const begin = `complete -c ${name} -n ${quoted(`${called}_after ${command.name || "''"}`, "fish")}`;
  return [
    ...command.options.map((option) => `${begin} ${described(called, option)}`),
    ...command.operands.map((word) => `${begin} ${operand(word)}`),
  ];
}

function operand({ name, what }: Word): string {
  return `-a ${quoted(name, "fish")} -d ${quoted(what, "fish")}`;
}

function described(called: string, { flag, short, value, values, help }: Option): string {
  const names = `${short ? `-s ${short.slice(1)} ` : ""}-l ${flag.slice(2)} -d ${quoted(help, "fish")}`;
  if (value === undefined) return names;
  if (values === undefined) return `${names} -x`;
  if (values === "user") return `${names} -x -a '(${called}_user)'`;
  const words = values.map((word) => `${word.name} ${quoted(word.what, "fish")}`);
  return `${names} -x -a ${quoted(`(${called}_list ${words.join(" ")})`, "fish")}`;
}
