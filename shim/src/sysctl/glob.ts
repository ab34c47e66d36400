/**
 * Whether systemd's glob() would find `path` by `pattern`: braces, then part by part as fnmatch() in the C locale. Both
 * are bytes (latin1), relative, without doubled slashes. Only a pattern's first 1,024 alternatives are tried, and none of
 * a pattern of more than 4,096 bytes; `budget` is for several patterns together.
 *
 * Source: glob(3) with GLOB_BRACE, fnmatch(3), glob(7), and the GNU C library for patterns that these leave undefined.
 */
export function globMatches(pattern: string, path: string, budget: Budget = {}): boolean {
  if (pattern.length > LONGEST_PATTERN) return false;
  const names = path.split("/");
  let left = MOST_ALTERNATIVES;
  for (const alternative of alternatives(pattern, budget)) {
    if (left-- === 0) return false;
    const parts = alternative.split("/");
    const matches = (part: string, at: number) =>
      partMatches(at < parts.length - 1 ? withoutEscape(part) : part, names[at] ?? "");
    if (parts.length === names.length && parts.every(matches)) return true;
  }
  return false;
}

/** Most alternatives that are tried: twenty times `{a,b}` would be a million. */
const MOST_ALTERNATIVES = 1024;

/** In bytes: each brace is a call within a call. */
const LONGEST_PATTERN = 4096;

/** How many braces are still expanded. */
export interface Budget {
  braces?: number;
}

/** Enough for all files of a machine: thousands of `{}` in each alternative of a thousand lines would take minutes. */
const MOST_BRACES = 4096;

/** Expands braces, `a{b,c}d` to `abd` and `acd`. From the first one that is never closed, all are literal. */
function* alternatives(pattern: string, budget: Budget): Generator<string> {
  budget.braces ??= MOST_BRACES;
  if (budget.braces-- <= 0) return;
  const open = unescaped(pattern, 0, "{");
  const commas: number[] = [];
  let depth = 0;
  for (let at = open + 1; open >= 0 && at < pattern.length; at++) {
    const c = pattern[at];
    if (c === "\\") at++;
    else if (c === "{") depth++;
    else if (c === "," && depth === 0) commas.push(at);
    else if (c === "}" && depth-- === 0) {
      let start = open + 1;
      for (const end of [...commas, at]) {
        yield* alternatives(pattern.slice(0, open) + pattern.slice(start, end) + pattern.slice(at + 1), budget);
        start = end + 1;
      }
      return;
    }
  }
  yield pattern;
}

function unescaped(text: string, start: number, wanted: string): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === wanted) return at;
  }
  return -1;
}

/** A backslash before a slash has no effect, unless it is itself escaped. */
function withoutEscape(part: string): string {
  let end = part.length;
  while (part[end - 1] === "\\") end--;
  return (part.length - end) % 2 === 1 ? part.slice(0, -1) : part;
}

/** fnmatch(3) for one part of a path; none of the names to be matched starts with a dot. */
function partMatches(pattern: string, name: string): boolean {
  let p = 0;
  let at = 0;
  let star: { p: number; at: number } | undefined;
  while (at < name.length) {
    if (pattern[p] === "*") {
      star = { p: ++p, at };
      continue;
    }
    const next = characterMatches(pattern, p, name.charAt(at));
    if (next !== undefined) {
      p = next;
      at++;
    } else if (star) {
      // Only the last star is tried again: everything before it has matched.
      p = star.p;
      at = ++star.at;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Where the pattern continues after what matches `c` at `p`; undefined if that does not match. */
function characterMatches(pattern: string, p: number, c: string): number | undefined {
  const first = pattern[p];
  if (first === "?") return p + 1;
  if (first === "[") {
    const bracket = bracketMatches(pattern, p + 1, c);
    if (bracket === "ill-formed") return undefined;
    if (bracket !== "open") return bracket.matches ? bracket.end + 1 : undefined;
  }
  // A backslash at the end matches nothing.
  if (first === "\\") return pattern[p + 1] === c ? p + 2 : undefined;
  return first === c ? p + 1 : undefined;
}

const CLASSES: Record<string, RegExp> = {
  alnum: /[A-Za-z0-9]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the class consists of them.
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t-\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

type Bracket =
  | { readonly matches: boolean; readonly end: number }
  /** Never closed: the bracket is literal. */
  | "open"
  /** It matches nothing. */
  | "ill-formed";

/** Whether the bracket expression whose first character is at `start` matches `c`, and where its `]` is. */
function bracketMatches(pattern: string, start: number, c: string): Bracket {
  let at = start;
  const negated = pattern[at] === "!" || pattern[at] === "^";
  if (negated) at++;
  let found = false;
  for (let first = true; first || pattern[at] !== "]"; first = false) {
    if (pattern[at] === undefined) return "open";
    const named = /^\[:([a-y]*):\]/.exec(pattern.slice(at));
    if (named) {
      const members = CLASSES[named[1] ?? ""];
      // After a match, an unknown class is no error.
      if (members === undefined && !found) return "ill-formed";
      found ||= members?.test(c) ?? false;
      at += named[0].length;
      continue;
    }
    const low = element(pattern, at);
    if (low === undefined) return "ill-formed";
    at = low.end;
    const dash = pattern[at] === "-" && pattern[at + 1] !== undefined && pattern[at + 1] !== "]";
    if (!dash) {
      found ||= low.c === c;
      continue;
    }
    const high = element(pattern, at + 1);
    if (high === undefined) return "ill-formed";
    at = high.end;
    found ||= low.c <= c && c <= high.c;
  }
  return { matches: found !== negated, end: at };
}

/** One character of a bracket expression: literal, `\c` or `[.c.]`; undefined if it is ill-formed. */
function element(pattern: string, at: number): { c: string; end: number } | undefined {
  if (pattern[at] === "\\") {
    const c = pattern[at + 1];
    return c === undefined ? undefined : { c, end: at + 2 };
  }
  if (pattern.startsWith("[.", at)) {
    const symbol = /^\[\.([\s\S])\.\]/.exec(pattern.slice(at));
    return symbol ? { c: symbol[1] ?? "", end: at + symbol[0].length } : undefined;
  }
  return { c: pattern.charAt(at), end: at + 1 };
}
