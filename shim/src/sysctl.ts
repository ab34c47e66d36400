import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { KEY, kernelTakes } from "./threshold.js";

/** One assignment of the threshold in a sysctl.d file, as it stands there. */
export interface Assignment {
  /** The file, with the root it was read under (`/run/host/etc/sysctl.d/80-web.conf`). */
  readonly file: string;
  /** Line in that file, from 1. */
  readonly line: number;
  /** The value as written, blanks around it removed. */
  readonly text: string;
  /** The port number the kernel would set, or undefined when it would refuse the text. */
  readonly value: number | undefined;
}

/** What a tree of sysctl.d files says about the threshold. */
export interface Resolution {
  /** The assignment whose value is in force after all have been applied. */
  readonly declared: Assignment | undefined;
  /** Assignments that would have won but that the kernel refuses, in the order they are applied. */
  readonly refused: readonly Assignment[];
}

/** Where drop-ins lie, strongest first: sysctl.d(5). */
export const DIRECTORIES = ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"] as const;

/** Read after all drop-ins, as procps' `sysctl --system` does; systemd-sysctl itself does not read it. */
export const LEGACY_FILE = "etc/sysctl.conf";

/** systemd's read_line() gives up on a file at a line of this many bytes (LONG_LINE_MAX). */
const LONGEST_LINE = 1024 * 1024;

interface Line {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

interface Rule {
  /** Relative to /proc/sys, slashes between its parts; may be a glob. */
  readonly key: string;
  /** Undefined for `-key`, which only shields the key from globs. */
  readonly value: string | undefined;
  readonly source: Line;
}

/**
 * Resolves what the sysctl.d tree below `root` would set the threshold to, exactly as systemd-sysctl applies it, with
 * `/etc/sysctl.conf` read last. Files that cannot be read count as absent.
 *
 * Source: sysctl.d(5) and systemd's src/sysctl/sysctl.c.
 */
export function resolve(root = "/"): Resolution {
  const files = [...dropIns(root), join(root, LEGACY_FILE)];
  return apply(files.flatMap((file) => rules(linesOf(file))));
}

/** The drop-ins that are not masked, in the order they are applied: by base name, in byte order. */
function dropIns(root: string): string[] {
  const byName = new Map<string, string>();
  for (const directory of DIRECTORIES) {
    for (const name of list(join(root, directory))) {
      if (name.endsWith(".conf") && !name.startsWith(".") && !byName.has(name)) {
        byName.set(name, join(root, directory, name));
      }
    }
  }
  const names = [...byName.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")));
  return names.map((name) => byName.get(name) as string);
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory, "latin1");
  } catch {
    return [];
  }
}

function linesOf(file: string): Line[] {
  // File names and contents are bytes, not UTF-8: latin1 carries every byte through unchanged.
  const path = Buffer.from(file, "latin1");
  let content: string;
  try {
    // A fifo or a device would never end, or block.
    if (!statSync(path).isFile()) return [];
    content = readFileSync(path, "latin1");
  } catch {
    return [];
  }
  return split(content).map((text, index) => ({ file, line: index + 1, text }));
}

/**
 * Splits as systemd's read_line(): `\n`, `\r` and NUL all end a line, a run of different ones counts once.
 * What follows an overlong line is lost.
 */
function split(content: string): string[] {
  const lines: string[] = [];
  for (const text of content.split(/\r\n\0?|\n\r\0?|[\r\n]\0|[\r\n\0]/)) {
    if (text.length >= LONGEST_LINE) break;
    lines.push(text);
  }
  return lines;
}

function rules(lines: readonly Line[]): Rule[] {
  const found: Rule[] = [];
  for (const source of lines) {
    const text = strip(source.text);
    if (text === "" || text.startsWith("#") || text.startsWith(";")) continue;
    const equals = text.indexOf("=");
    const left = equals < 0 ? text : text.slice(0, equals);
    const dashed = left.startsWith("-");
    if (equals < 0 && !dashed) continue;
    const key = normalize(strip(dashed ? left.slice(1) : left));
    if (key !== KEY && !(isGlob(key) && matches(key, KEY))) continue;
    found.push({ key, value: equals < 0 ? undefined : strip(text.slice(equals + 1)), source });
  }
  return found;
}

/** The blanks that systemd's strstrip() removes. */
function strip(text: string): string {
  return text.replace(/^[ \t\n\r]+/, "").replace(/[ \t\n\r]+$/, "");
}

/** A key as a path below /proc/sys: if its first separator is a dot, dots and slashes swap (sysctl.d(5)). */
function normalize(key: string): string {
  const separator = /[./]/.exec(key)?.[0];
  const path = separator === "." ? key.replace(/[./]/g, (c) => (c === "." ? "/" : ".")) : key;
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

function isGlob(key: string): boolean {
  return /[*?[]/.test(key);
}

/** Whether a glob(7) pattern matches a path, part by part. */
function matches(pattern: string, path: string): boolean {
  const expression = globExpression(pattern);
  return expression?.test(path) ?? false;
}

function globExpression(pattern: string): RegExp | undefined {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern[at] as string;
    if (c === "*") source += "[^/]*";
    else if (c === "?") source += "[^/]";
    else if (c === "[") {
      const bracket = bracketExpression(pattern, at);
      source += bracket ? bracket.source : "\\[";
      if (bracket) at = bracket.end;
    } else if (c === "\\") {
      at++;
      source += literal(pattern[at] ?? "\\");
    } else source += literal(c);
  }
  try {
    return new RegExp(`^(?:${source})$`);
  } catch {
    return undefined;
  }
}

const CLASSES: Record<string, string> = {
  alnum: "A-Za-z0-9",
  alpha: "A-Za-z",
  blank: " \\t",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: " \\t\\n\\v\\f\\r",
  upper: "A-Z",
  xdigit: "0-9A-Fa-f",
};

/** A `[…]` that starts at `start`, or undefined when it is never closed: then the `[` stands for itself. */
function bracketExpression(pattern: string, start: number): { source: string; end: number } | undefined {
  let at = start + 1;
  const negated = pattern[at] === "!" || pattern[at] === "^";
  if (negated) at++;
  let source = "";
  for (let first = true; ; first = false) {
    const c = pattern[at];
    // In a path no bracket reaches over a slash (glob(7)).
    if (c === undefined || c === "/") return undefined;
    if (c === "]" && !first) break;
    const named = /^\[:([a-z]+):\]/.exec(pattern.slice(at));
    if (named) {
      const members = CLASSES[named[1] as string];
      if (members === undefined) return undefined;
      source += members;
      at += named[0].length;
      continue;
    }
    const low = c === "\\" ? pattern[++at] : c;
    if (low === undefined) return undefined;
    at++;
    if (pattern[at] === "-" && pattern[at + 1] !== undefined && pattern[at + 1] !== "]") {
      at++;
      const high = pattern[at] === "\\" ? pattern[++at] : pattern[at];
      if (high === undefined || high === "/") return undefined;
      at++;
      // A range that runs backwards matches nothing.
      if (low <= high) source += `${literal(low)}-${literal(high)}`;
    } else source += literal(low);
  }
  if (source === "") return { source: negated ? "[^/]" : "[]", end: at };
  return { source: negated ? `[^/${source}]` : `[${source}]`, end: at };
}

function literal(c: string): string {
  return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** Applies rules in order: per key the last one counts, and an explicit key beats every glob wherever it stands. */
function apply(all: readonly Rule[]): Resolution {
  const last = new Map<string, Rule>();
  for (const rule of all) {
    // The same value again keeps its place in the order; another one moves to the end.
    if (last.has(rule.key) && last.get(rule.key)?.value === rule.value) continue;
    last.delete(rule.key);
    last.set(rule.key, rule);
  }
  const explicit = last.get(KEY);
  const writes = explicit ? [explicit] : [...last.values()];

  let declared: Assignment | undefined;
  let refused: Assignment[] = [];
  for (const { value: text, source } of writes) {
    if (text === undefined) continue;
    const value = kernelTakes(text);
    const assignment = { file: source.file, line: source.line, text, value };
    if (value === undefined) refused.push(assignment);
    else {
      declared = assignment;
      refused = [];
    }
  }
  return { declared, refused };
}
