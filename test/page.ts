import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./need.js";

/** The line before a fence, its language, what it encloses. */
const FENCED = /(?<=(^.*\n)\n)^```(\w+)\n([\s\S]*?)^```$/gm;

/** A block of text to copy, on a page of the documentation. */
export interface Block {
  /** The heading that it is under. */
  readonly section: string;
  /** What its fence says: `sh`, `yaml`. */
  readonly language: string;
  /** The file that it goes into, if the line before it begins with its name and ends with a colon. */
  readonly file: string | undefined;
  readonly text: string;
}

/** A page of docs/, whole. */
export function page(name: string): string {
  return readFileSync(join(ROOT, "docs", name), "utf8");
}

/** The headings of a page below its title, in order. */
export function headings(text: string): string[] {
  return [...text.replace(FENCED, "").matchAll(/^##+ (.+)$/gm)].map(([, heading = ""]) => heading);
}

/** The fenced blocks of a page, in order. */
export function blocks(text: string): Block[] {
  return [...text.matchAll(FENCED)].map(({ index, 1: before = "", 2: language = "", 3: body = "" }) => ({
    section: headings(text.slice(0, index)).at(-1) ?? "",
    language,
    file: /^`([^`]+)`.*:\n$/.exec(before)?.[1],
    text: body,
  }));
}

/** All code of a page, fenced or indented, in order of kind; each without its indentation. */
export function code(text: string): string[] {
  const unfenced = text.replace(FENCED, "");
  if (unfenced.includes("```")) throw new Error("a fence that is not closed, or has no language");
  const indented = [...unfenced.matchAll(/(?<=^\n)(?:^ {4}.*\n(?:\n(?= {4}))*)+/gm)].map(([block]) => {
    const least = Math.min(...[...block.matchAll(/^ +/gm)].map(([blanks]) => blanks.length));
    return block.replace(new RegExp(`^ {${least}}`, "gm"), "");
  });
  return [...blocks(text).map((block) => block.text), ...indented];
}

/** The one block of a page, by its path in the checkout, that begins so. */
export function codeOf(path: string, beginning: string): string {
  const [found, another] = code(readFileSync(join(ROOT, path), "utf8")).filter((one) => one.startsWith(beginning));
  if (found === undefined || another !== undefined)
    throw new Error(`${path}: not one block that begins with ${beginning}`);
  return found;
}
