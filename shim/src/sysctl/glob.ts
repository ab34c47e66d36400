/**
 * Whether systemd's glob() would find `path` by `pattern`: braces, then part by part as fnmatch() in the C locale. Both
 * are bytes (latin1), relative, without doubled slashes. Of a pattern with more than 1,024 alternatives only as many count.
 *
 * Source: glob(3) with GLOB_BRACE, fnmatch(3), glob(7), and what the GNU C library makes of the patterns that they leave
 * open.
 */
export function globMatches(pattern: string, path: string): boolean {
  const names = path.split("/");
  let left = MOST_ALTERNATIVES;
  for (const alternative of alternatives(pattern)) {
    if (left-- === 0) return false;
    const parts = alternative.split("/");
    const matches = (part: string, at: number) =>
      partMatches(at < parts.length - 1 ? withoutEscape(part) : part, names[at] ?? "");
    if (parts.length === names.length && parts.every(matches)) return true;
  }
  return false;
}

/** Most alternatives that are looked at: twenty times `{a,b}` would be a million. */
const MOST_ALTERNATIVES = 1024;

/** Braces expanded, `a{b,c}d` to `abd` and `acd`. From the first that is never closed on, they stand for themselves. */
function* alternatives(pattern: string): Generator<string> {
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
        yield* alternatives(pattern.slice(0, open) + pattern.slice(start, end) + pattern.slice(at + 1));
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

/** A backslash before a slash does nothing; one before another backslash makes that a plain character. */
function withoutEscape(part: string): string {
  const trailing = /\\*$/.exec(part)?.[0].length ?? 0;
  return trailing % 2 === 1 ? part.slice(0, -1) : part;
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
      // Only the last star can help: what stands before it has matched, and needs no other way to.
      p = star.p;
      at = ++star.at;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Where the pattern goes on behind what matches `c` at `p`; undefined where nothing there does. */
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
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what the class is.
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
  /** Never closed: then the bracket stands for itself. */
  | "open"
  /** It matches nothing. */
  | "ill-formed";

/** Whether the bracket expression that starts behind the `[` at `start` matches `c`, and where its `]` stands. */
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
      // What follows a match is not looked at closely.
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

/** One character of a bracket expression, as itself, `\c` or `[.c.]`; undefined where it is none. */
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
