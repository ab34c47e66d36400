import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Option, Program } from "../program.js";

const FOLDER = join(__dirname, "..", "..", "completion");

/** The completion of a program for a shell: the file of that name, in which @NAME@ stands for one of these texts. */
export function fill(shell: string, { name, commands }: Program, texts: Readonly<Record<string, string>>): string {
  const names = commands.map((command) => command.name);
  const all: Readonly<Record<string, string>> = {
    program: name,
    function: functionOf(name),
    commands: names.join(" "),
    anycommand: names.join(" | "),
    ...texts,
  };
  return readFileSync(join(FOLDER, shell), "utf8").replace(/@(\w+)@/g, (_, key: string) => {
    const text = all[key];
    if (text === undefined) throw new Error(`completion/${shell} has @${key}@, which nothing stands for`);
    return text;
  });
}

/** What the names of a program's functions begin with. */
export function functionOf(name: string): string {
  return `_${name.replaceAll("-", "_")}`;
}

/** A word for a shell: in bash and zsh, or with a backslash before a quote in fish. */
export function quoted(word: string, shell: "bash" | "zsh" | "fish"): string {
  if (shell === "fish") return `'${word.replace(/[\\']/g, "\\$&")}'`;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** An option as it is typed, up to its value. */
export function typed({ flag, value, isApart }: Option): string {
  return value === undefined || isApart ? flag : `${flag}=`;
}
