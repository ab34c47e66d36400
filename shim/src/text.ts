import { readFileSync, statSync } from "node:fs";

/** Longest answer of another program that is repeated to the person, in characters. */
const LONGEST_ANSWER = 400;

/**
 * What another program said, as one line that is safe on a terminal: control characters gone, blanks folded, cut at
 * 400 characters. What the host answers is not trusted.
 */
export function printable(answer: string): string {
  const line = answer
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]+/gu, " ")
    .replace(/ +/g, " ")
    .trim();
  return line.length > LONGEST_ANSWER ? `${line.slice(0, LONGEST_ANSWER)}…` : line;
}

/** Things in a sentence: "80, 443 and 8080". */
export function enumerated(things: readonly (string | number)[]): string {
  const last = things.slice(-1);
  return things.length > 1 ? `${things.slice(0, -1).join(", ")} and ${last}` : last.join();
}

/** A command line as a person can paste it into a shell. */
export function commandLine(argv: readonly string[]): string {
  return argv.map(quoted).join(" ");
}

function quoted(word: string): string {
  if (/^[\w./:=,@%+-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** The text of a small file, such as those below /proc; empty where it cannot be read, or is no plain file. */
export function contentOf(file: string): string {
  try {
    // A fifo or a device would block, or never end.
    return statSync(file).isFile() ? readFileSync(file, "utf8") : "";
  } catch {
    return "";
  }
}
