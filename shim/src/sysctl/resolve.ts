import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { KEY, kernelTakes } from "../here/threshold.js";
import type { Budget } from "./glob.js";

/** An assignment of the threshold in a sysctl.d file. */
export interface Assignment {
  /** The file, with the root it was read under (`/run/host/etc/sysctl.d/80-web.conf`). */
  readonly file: string;
  /** Line in that file, from 1. */
  readonly line: number;
  /** The value as written, blanks around it removed. */
  readonly text: string;
  /** The threshold that the kernel would set; undefined if the text is invalid. */
  readonly value: number | undefined;
}

/** What sysctl.d files say about the threshold. */
export interface Resolution {
  /** The assignment that decides, once all are applied. */
  readonly declared: Assignment | undefined;
  /** Assignments that would decide, but are invalid, in the order they are applied. */
  readonly invalid: readonly Assignment[];
}

/** The directories of drop-ins, the one with the highest priority first: sysctl.d(5). */
export const DIRECTORIES = ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"] as const;

/** Empty after a reboot. */
const VOLATILE = "run/sysctl.d";

/** Read after all drop-ins, as procps' `sysctl --system` does; systemd-sysctl itself does not read it. */
export const LEGACY_FILE = "etc/sysctl.conf";

/** systemd's read_line() gives up on a file at a line of this many bytes (LONG_LINE_MAX). */
const LONGEST_LINE = 1024 * 1024;

/** Most bytes of a file; what is longer is no configuration, and need not fit into our memory. */
const LONGEST_FILE = 4 * 1024 * 1024;

interface Rule {
  /** Relative to /proc/sys, slashes between its parts; may be a glob. */
  readonly key: string;
  /** Undefined for `-key`, which only excludes the key from globs. */
  readonly value: string | undefined;
  readonly source: Pick<Assignment, "file" | "line">;
}

/** A change to drop-ins, by path below the root: the new text, or undefined for a file that is removed. */
type Change = ReadonlyMap<string, string | undefined>;

/** As of now, or as of the next boot. */
type Moment = "now" | "boot";

/**
 * Resolves what the sysctl.d files below `root` set the threshold to, exactly as systemd-sysctl does, with
 * `/etc/sysctl.conf` last; after `change`, if there is one. Files that cannot be read, or are longer than 4 MiB, are
 * skipped. At "boot" /run is
 * empty, and `/etc/sysctl.conf` is not read.
 *
 * Source: sysctl.d(5) and systemd's src/sysctl/sysctl.c.
 */
export function resolve(root = "/", change: Change = new Map(), moment: Moment = "now"): Resolution {
  const atBoot = moment === "boot";
  const directories = DIRECTORIES.filter((directory) => !(atBoot && directory === VOLATILE));
  const files = dropIns(directories.flatMap((directory) => list(root, directory, change)));
  if (!atBoot) files.push({ path: LEGACY_FILE, read: () => textOf(located(root, LEGACY_FILE)) });
  return apply(rulesOf(root, files));
}

/** resolve() for files that are not on this disk: their contents by path without the first slash, both latin1. */
export function resolveTexts(texts: ReadonlyMap<string, string>): Resolution {
  const file = (path: string): File[] => {
    const text = texts.get(path);
    return text === undefined ? [] : [{ path, read: () => text }];
  };
  const files = DIRECTORIES.flatMap((directory) =>
    [...texts.keys()].filter((path) => dirname(path) === directory).flatMap(file),
  );
  return apply(rulesOf("/", [...dropIns(files), ...file(LEGACY_FILE)]));
}

interface File {
  /** Below the root. */
  readonly path: string;
  /** Its bytes (latin1). Throws an Error if it cannot be read, or is not a regular file. */
  read(): string;
}

/**
 * Those of `files`, given in order of priority, that are not masked, in the order they are applied: by name, bytewise.
 */
function dropIns(files: readonly File[]): File[] {
  const byName = new Map<string, File>();
  for (const file of files) {
    const name = basename(file.path);
    if (name.endsWith(".conf") && !name.startsWith(".") && !byName.has(name)) byName.set(name, file);
  }
  const bytes = (name: string) => Buffer.from(name, "latin1");
  return [...byName].sort(([a], [b]) => Buffer.compare(bytes(a), bytes(b))).map(([, file]) => file);
}

function list(root: string, directory: string, change: Change): File[] {
  const files = [...change].flatMap(([path, text]): File[] =>
    dirname(path) === directory && text !== undefined ? [{ path, read: () => text }] : [],
  );
  try {
    const where = located(root, directory);
    for (const entry of readdirSync(where, { encoding: "latin1", withFileTypes: true })) {
      const path = `${directory}/${entry.name}`;
      // The directory is located already; only a file that is a link itself has to be followed.
      const target = () =>
        entry.isSymbolicLink() ? located(root, path) : Buffer.concat([where, Buffer.from(`/${entry.name}`, "latin1")]);
      if (!change.has(path)) files.push({ path, read: () => textOf(target()) });
    }
  } catch {}
  return files;
}

/** Throws an Error if it cannot be read, is too long, or not a regular file: a FIFO would block, a device might never end. */
function textOf(path: Buffer): string {
  const status = statSync(path);
  if (!status.isFile() || status.size > LONGEST_FILE) throw new Error("not a file that we read");
  return readFileSync(path, "latin1");
}

/** Most links that Linux follows in one path (MAXSYMLINKS). */
const MOST_LINKS = 40;

/**
 * Follows links as if `root` were `/`: the host's, below /run/host, name the host's files. Names and contents of files
 * are bytes, not UTF-8, which latin1 preserves.
 *
 * Throws an Error if there are too many links.
 */
export function located(root: string, path: string): Buffer {
  if (root === "/") return Buffer.from(join(root, path), "latin1");
  const ahead = path.split("/");
  let behind: string[] = [];
  for (let links = 0; ahead.length > 0; ) {
    const part = ahead.shift() as string;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      behind.pop();
      continue;
    }
    const target = linkTarget([root, ...behind, part].join("/"));
    if (target === undefined) {
      behind.push(part);
      continue;
    }
    if (++links > MOST_LINKS) throw new Error("too many links");
    if (target.startsWith("/")) behind = [];
    ahead.unshift(...target.split("/"));
  }
  return Buffer.from([root, ...behind].join("/"), "latin1");
}

/** Undefined if it is not a link, or does not exist. */
function linkTarget(path: string): string | undefined {
  const bytes = Buffer.from(path, "latin1");
  try {
    const isLink = lstatSync(bytes, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    return isLink ? readlinkSync(bytes, "latin1") : undefined;
  } catch {
    return undefined;
  }
}

/** For people to read. */
function utf8(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/**
 * Splits as systemd's read_line() does: `\n`, `\r` and NUL all end a line, and different ones in a row are one end.
 * What follows an overlong line is lost.
 */
function* split(content: string): Generator<string> {
  // One by one: a list of the lines of 4 MiB can take a hundred times as much memory.
  const end = /\r\n\0?|\n\r\0?|[\r\n]\0|[\r\n\0]|$/g;
  for (let start = 0; start <= content.length; start = end.lastIndex) {
    const at = end.exec(content)?.index ?? content.length;
    if (at - start >= LONGEST_LINE) return;
    yield content.slice(start, at);
    if (at === content.length) return;
  }
}

function rulesOf(root: string, files: readonly File[]): Rule[] {
  const budget: Budget = {};
  return files.flatMap((file) => rules(root, file, budget));
}

function rules(root: string, { path, read }: File, budget: Budget): Rule[] {
  let content: string;
  try {
    content = read();
  } catch {
    return [];
  }
  const file = utf8(join(root, path));
  const found: Rule[] = [];
  let line = 0;
  for (const whole of split(content)) {
    line++;
    const text = strip(whole);
    if (text === "" || text.startsWith("#") || text.startsWith(";")) continue;
    const equals = text.indexOf("=");
    const left = equals < 0 ? text : text.slice(0, equals);
    const dashed = left.startsWith("-");
    if (equals < 0 && !dashed) continue;
    const key = normalize(strip(dashed ? left.slice(1) : left));
    if (key !== KEY && !isGlobOf(key, KEY, budget)) continue;
    const value = equals < 0 ? undefined : strip(text.slice(equals + 1));
    found.push({ key, value, source: { file, line } });
  }
  return found;
}

/** systemd's strstrip(). By hand: a regular expression would take hours for a million blanks. */
function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && BLANKS.includes(text.charAt(start))) start++;
  while (end > start && BLANKS.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

const BLANKS = " \t\n\r";

/** A key as a path below /proc/sys: if its first separator is a dot, dots and slashes swap (sysctl.d(5)). */
function normalize(key: string): string {
  const separator = /[./]/.exec(key)?.[0];
  const path = separator === "." ? key.replace(/[./]/g, (c) => (c === "." ? "/" : ".")) : key;
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

/** systemd takes for a glob what has one of three characters; what stands before any that is special stands for itself. */
function isGlobOf(key: string, path: string, budget: Budget): boolean {
  if (!/[*?[]/.test(key) || !path.startsWith(key.slice(0, key.search(/[*?[{\\]/)))) return false;
  return require("./glob.js").globMatches(key, path, budget);
}

/** The last rule of each key is applied, and an explicit key beats every glob, whatever their order. */
function apply(all: readonly Rule[]): Resolution {
  const last = new Map<string, Rule>();
  for (const rule of all) {
    // A repeated value keeps its place in the order; another one moves to the end.
    if (last.has(rule.key) && last.get(rule.key)?.value === rule.value) continue;
    last.delete(rule.key);
    last.set(rule.key, rule);
  }
  const explicit = last.get(KEY);
  const writes = explicit ? [explicit] : [...last.values()];

  let declared: Assignment | undefined;
  let invalid: Assignment[] = [];
  for (const { value: text, source } of writes) {
    if (text === undefined) continue;
    const value = kernelTakes(text);
    const assignment = { file: source.file, line: source.line, text: utf8(text), value };
    if (value === undefined) invalid.push(assignment);
    else {
      declared = assignment;
      invalid = [];
    }
  }
  return { declared, invalid };
}
