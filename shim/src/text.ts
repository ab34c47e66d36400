/** How much of another program's answer is shown to the person, in characters. */
const LONGEST_ANSWER = 400;

/** How much of it is looked at: the rest of a megabyte would take a second. */
const LONGEST_LOOK = 10_000;

/**
 * What another program said, as one line that is safe on a terminal: no control characters, blanks folded, at most
 * 400 characters. The host's answers are not trusted.
 */
export function printable(answer: string): string {
  // Most of it is plain, and what follows takes a millisecond to prepare.
  if (/^[!-~]{0,100}$/.test(answer)) return answer;
  const line = answer
    .slice(0, LONGEST_LOOK)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]+/gu, " ")
    .replace(/ +/g, " ")
    .trim();
  return line.length > LONGEST_ANSWER ? `${line.slice(0, LONGEST_ANSWER)}…` : line;
}

/** Whether an argument or a variable is what it was: for bytes that are not UTF-8 Node has replacements. */
export function isUtf8(text: string): boolean {
  return !text.includes("\u{fffd}");
}

/** JSON, indented, and safe on a terminal: JSON.stringify() escapes no control or format characters above a blank. */
export function json(value: object): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  // Outside of strings JSON has no such characters but the ends of its lines, and in them it has none of those.
  const unsafe = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu;
  return JSON.stringify(value, null, 2).replace(unsafe, (one) => one.split("").map(escaped).join(""));
}

/** Things in a sentence: "80, 443 and 8080". */
export function enumerated(things: readonly (string | number)[]): string {
  const last = things.slice(-1);
  return things.length > 1 ? `${things.slice(0, -1).join(", ")} and ${last}` : last.join();
}

/** A text's lines, as what stands below a message; without the blanks at its end. */
export function indented(text: string): string {
  return text.trimEnd().replace(/^(?=.)/gm, "    ");
}

/** A command line as a person can paste it into a shell. */
export function commandLine(argv: readonly string[]): string {
  return argv.map(quoted).join(" ");
}

function quoted(word: string): string {
  if (/^[\w./:=,@%+-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
