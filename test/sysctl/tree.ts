import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SETTING } from "../../shim/lib/here/threshold.js";
import { DIRECTORIES } from "../../shim/lib/sysctl/resolve.js";

/** Marsaglia's xorshift32, so that a seed gives the same trees everywhere. */
export class Random {
  #state: number;

  /** Seeds are 32 bit integers; `stream` tells the trees of one seed apart. */
  constructor(seed: number, stream = 0) {
    // xorshift is stuck at 0, and its first numbers are similar if the seeds are.
    this.#state = Math.imul(seed ^ Math.imul(stream + 1, 0x9e3779b9), 0x85ebca6b) || 1;
    for (let round = 0; round < 8; round++) this.below(1);
  }

  /** An integer from 0 up to, and not including, `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** The seed from the environment variable SEED, else a new one; it is printed, so that a run can be repeated. */
export function seed(): number {
  const given = Number(process.env.SEED || Date.now()) >>> 0;
  console.log(`SEED=${given}`);
  return given;
}

/** How many trees to try: the environment variable TREES, else `usual`. */
export function treeCount(usual: number): number {
  return Number(process.env.TREES || usual);
}

/** One entry of a tree: a directory if it has nothing else. Bytes are latin1 throughout. */
export interface Entry {
  /** Relative to the tree's root. */
  readonly path: string;
  /** A file's content: its lines, each with its end. */
  readonly pieces?: readonly string[];
  /** What a symbolic link names. */
  readonly link?: string;
  /** The arguments of mknod(1) that make it: a FIFO or a device. */
  readonly node?: readonly string[];
  /** Nobody but root can read it. */
  readonly isSecret?: boolean;
}

/** The files below one root that set the threshold. */
export type Tree = readonly Entry[];

/** Puts a tree's entries below `root`; the function it returns removes them. */
export function plant(tree: Tree, root: string): () => void {
  const paths = tree.map(({ path }) => Buffer.from(join(root, path), "latin1"));
  tree.forEach(({ pieces, link, node, isSecret }, at) => {
    const path = paths[at] as Buffer;
    mkdirSync(dirname(path.toString("latin1")), { recursive: true });
    if (pieces) writeFileSync(path, pieces.join(""), "latin1");
    else if (link !== undefined) symlinkSync(Buffer.from(link, "latin1"), path);
    else if (node) execFileSync("mknod", [path.toString("latin1"), ...node]);
    else mkdirSync(path, { recursive: true });
    if (isSecret) chmodSync(path, 0o700);
  });
  return () => {
    for (const path of paths) rmSync(path, { recursive: true, force: true });
  };
}

/** A tree for people to read, every byte that is not printable escaped; long pieces are cut. */
export function show(tree: Tree): string {
  return tree
    .map(({ path, pieces, link, node, isSecret }) => {
      const what = pieces
        ? pieces.map((piece) => `\n    ${quote(piece)}`).join("")
        : link
          ? ` -> ${quote(link)}`
          : node
            ? ` (mknod ${node.join(" ")})`
            : "/";
      return `  ${quote(path)}${isSecret ? " (secret)" : ""}${what}`;
    })
    .join("\n");
}

/** A string as in a source file, cut if it is long. */
export function quote(text: string): string {
  const short = text.length > 400 ? `${text.slice(0, 100)}…(${text.length} bytes)…${text.slice(-50)}` : text;
  return JSON.stringify(short).replace(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}

/** The smallest tree found by leaving out entries and lines for which `fails` still holds. */
export async function shrink(tree: Tree, fails: (smaller: Tree) => Promise<boolean>): Promise<Tree> {
  let best = tree;
  for (let again = true; again; ) {
    again = false;
    for (const smaller of smallerTrees(best)) {
      if (await fails(smaller)) {
        best = smaller;
        again = true;
        break;
      }
    }
  }
  return best;
}

function* smallerTrees(tree: Tree): Generator<Tree> {
  for (let size = Math.ceil(tree.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let at = 0; at < tree.length; at += size) yield [...tree.slice(0, at), ...tree.slice(at + size)];
  }
  for (const [at, entry] of tree.entries()) {
    const { pieces } = entry;
    if (!pieces || pieces.length < 2) continue;
    for (let line = 0; line < pieces.length; line++) {
      yield tree.with(at, { ...entry, pieces: pieces.toSpliced(line, 1) });
    }
  }
}

/** How often something unusual replaces something usual; chosen anew for every tree. */
const WILDNESS = [0, 0, 0.03, 0.1, 0.3, 0.8] as const;

const PLAIN_NAMES = ["10-web.conf", "50-default.conf", "50-web.conf", "99-sysctl.conf", "99-web.conf", "web.conf"];

const WILD_NAMES = [
  "50-WEB.conf",
  ".hidden.conf",
  ".conf",
  "README",
  "web.conf~",
  "web.conf.rpmnew",
  "web.confx",
  "a b.conf",
  "-n.conf",
  "*.conf",
  "[a].conf",
  "a\\b.conf",
  "a\nb.conf",
  "\xff.conf",
  "\xc3\xa9.conf",
  "é.conf",
  // They look like what grep prints before a line.
  "a.conf:#.conf",
  "a.conf:;b.conf",
  "a\nq.conf:#.conf",
  "a:b.conf",
  "a=80.conf",
  "#a.conf",
];

/** Paths that no machine has: a tree must be complete in itself. */
const LINKS = [
  "/dev/null",
  "/nowhere/to/be/found",
  "nowhere.conf",
  "/etc/sysctl.d/50-web.conf",
  "../sysctl.d/web.conf",
  "../sysctl.d/10-web.conf",
  "/usr/lib/sysctl.d/50-default.conf",
  "/run/sysctl.d/99-web.conf",
  "../../etc/sysctl.d/99-web.conf",
  "/etc/sysctl.d",
  "/etc/sysctl.d/README",
  "../../usr/lib/sysctl.d/README",
  "loop.conf",
];

const PLAIN_VALUES = ["80", "80", "80", "80", "79", "81", "70", "443", "1024", "0", "1", "53"];

/** What can be in place of a number. */
export const WILD_VALUES = [
  "",
  "-1",
  "-0",
  "-",
  "+80",
  "--80",
  "0x50",
  "0X50",
  "0x",
  "0xg",
  "0x50g",
  "0120",
  "080",
  "08",
  "00",
  "00000000000000000080",
  "0000000000000000000080",
  "000000000000000000079",
  "00000000000000000120",
  "000000000000000000120",
  "-00000000000000000000",
  "-0000000000000000000",
  "0x0000000000000000050",
  "0x000000000000000050",
  "80 81",
  "80\t81",
  "80 x",
  "80x",
  "80,81",
  "80;",
  "80 # the web",
  "80#",
  "80=80",
  "= 80",
  "80.0",
  "8 0",
  "'80'",
  '"80"',
  "80\x0b",
  "\x0b80",
  "\x0c80",
  "\xa080",
  "80\xa0",
  "\x0180",
  "32767",
  "32768",
  "32769",
  "60999",
  "65535",
  "65536",
  "99999",
  "100000",
  "2147483647",
  "2147483648",
  "4294967296",
  "4294967376",
  "18446744073709551615",
  "18446744073709551616",
  "18446744073709551696",
  "99999999999999999999",
  "999999999999999999999",
  "9999999999999999999999",
  "-18446744073709551616",
  "0xffffffffffffffff",
  "80                             81",
  "٨٠",
  "eighty",
];

const PLAIN_KEYS = [SETTING, SETTING, SETTING, SETTING, SETTING, SETTING.replaceAll(".", "/")];

const WILD_KEYS = [
  "/net/ipv4/ip_unprivileged_port_start",
  "//net/ipv4/ip_unprivileged_port_start",
  ".net.ipv4.ip_unprivileged_port_start",
  "..net.ipv4.ip_unprivileged_port_start",
  "net..ipv4.ip_unprivileged_port_start",
  "net//ipv4/ip_unprivileged_port_start",
  "net/./ipv4/ip_unprivileged_port_start",
  "./net/ipv4/ip_unprivileged_port_start",
  "net/ipv4/../ipv4/ip_unprivileged_port_start",
  "net/ipv4/ip_unprivileged_port_start/",
  "net.ipv4.ip_unprivileged_port_start.",
  "net/ipv4/ip_unprivileged_port_start/.",
  "net/ipv4.ip_unprivileged_port_start",
  "net.ipv4/ip_unprivileged_port_start",
  "/proc/sys/net/ipv4/ip_unprivileged_port_start",
  "proc.sys.net.ipv4.ip_unprivileged_port_start",
  "NET.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_unprivileged_port_starts",
  "net.ipv4.ip_unprivileged_port_start\x0b",
  "\xa0net.ipv4.ip_unprivileged_port_start",
  "\xef\xbb\xbfnet.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_unprivileged_port_start x",
  "net.ipv4.ip_unprivileged_port_start:",
  "net.ipv4. ip_unprivileged_port_start",
  "net.ipv4.ip\\_unprivileged_port_start",
  "net.ipv4.{ip_unprivileged_port_start,x}",
];

const GLOBS = [
  "net.ipv4.ip_unprivileged_*",
  "net.ipv4.ip_unprivileged_port_star?",
  "net/ipv4/ip_unprivileged_port_s*",
  "net.*.ip_unprivileged_port_start",
  "*.ipv4.ip_unprivileged_port_start",
  "n?t/ipv4/*_port_start",
  "net.ipv4.*start",
  "net.ipv4.ip_*",
  "net.ipv4.*",
  "net/*port_start",
  "net.ipv4.ip_[u]nprivileged_port_start",
  "net.ipv4.ip_[!a]nprivileged_port_start",
  "net.ipv4.ip_[^u]nprivileged_port_start",
  "net.ipv4.ip_[t-v]nprivileged_port_start",
  "net.ipv4.ip_[v-t]nprivileged_port_start",
  "net.ipv4.ip_[]u]nprivileged_port_start",
  "net.ipv4.ip_[!]a]nprivileged_port_start",
  "net.ipv4.ip_[[:lower:]]nprivileged_port_start",
  "net.ipv4.ip_[[:digit:]]nprivileged_port_start",
  "net.ipv4.ip_[![:digit:]]nprivileged_port_start",
  "net.ipv4.ip_[[:none:]]nprivileged_port_start",
  "net.ipv4.ip_[unprivileged_port_start",
  "net.ipv4.ip_u*[",
  "net[.]ipv4.ip_unprivileged_port_start",
  "net.ipv[4.ip_]unprivileged_port_start",
  "net.ipv4.ip_unprivileged_port_[s]tart",
  "net.ipv4.{ip_unprivileged,x}_port_star?",
  "net.{ipv4,ipv6}.ip_unprivileged_*",
  "net.ipv4.ip_unprivileged_port_star*/",
  "net/ipv4/ip_unprivileged_port_s*t/",
  "net.ipv4.ip_unprivileged_port_s*t.",
  "/net/ipv?/ip_unprivileged_port_start",
  "net//ipv?/ip_unprivileged_port_start",
  "net/ipv4/../ipv?/ip_unprivileged_port_start",
  "net.ipv4.conf.*.rp_filter",
];

/** Each belongs to the network namespace, or does not exist: tests must not touch the machine's settings. */
const OTHERS = [
  "net.ipv4.ip_forward",
  "net.ipv4.ping_group_range",
  "net.ipv4.conf.all.rp_filter",
  "net.core.somaxconn",
  "no.such.key",
  "net.ipv4.ip_unprivileged",
  "ip_unprivileged_port_start",
];

const WILD_LINES = [
  "",
  " ",
  "\t",
  "80",
  "0",
  "5000",
  "=80",
  "= 80",
  "-",
  "- =80",
  "#",
  ";",
  "\xff\xfe",
  "\x0b",
  "[section]",
  SETTING,
  `${SETTING} 80`,
  `${SETTING}: 70`,
  `\\${SETTING}=70`,
  `// ${SETTING}=70`,
  `! ${SETTING}=70`,
];

const WILD_ENDS = [
  "\r\n",
  "\r",
  "\n\r",
  "\0",
  "\n\0",
  "\r\n\0",
  "\r\0",
  "\0\n",
  "\n\n",
  "\r\r\n",
  " \n",
  "\t\r\n",
  "\0\0",
  "\x0b\n",
  "\x0c\n",
];

const BLANKS = ["", "", " ", "\t", "  ", " \t "];

/** A random tree, in which many things mention the threshold. Equal generators grow equal trees. */
export function grow(random: Random): Tree {
  const wild = random.pick(WILDNESS);
  const entries = new Map<string, Entry>();
  const many = random.chance(0.01);
  const count = many ? 100 + random.below(300) : random.below(7);
  for (let n = 0; n < count; n++) {
    const path = many ? `${random.pick(DIRECTORIES)}/${random.below(400)}.conf` : somewhere(random, wild);
    entries.set(path, { path, ...body(random, wild, many ? 2 : 6) });
  }
  return [...entries.values()];
}

function somewhere(random: Random, wild: number): string {
  return `${random.pick(DIRECTORIES)}/${random.pick(random.chance(wild) ? WILD_NAMES : PLAIN_NAMES)}`;
}

/**
 * A tree whose lines about the threshold all set one of `values`, plainly. In half of the trees one thing, as unusual
 * as those of grow(), sets `trap`.
 */
export function growTame(random: Random, values: readonly string[], trap: string): Tree {
  const entries = new Map<string, Entry>();
  for (let count = random.below(5); count > 0; count--) {
    const pieces = [];
    for (let lines = random.below(4); lines > 0; lines--) {
      const text = `${random.pick(PLAIN_KEYS)}${random.pick([" = ", "="])}${random.pick(values)}`;
      pieces.push(`${random.pick([text, text, "", "# the web", `#${text}`, `${random.pick(OTHERS)} = 1`])}\n`);
    }
    const path = somewhere(random, 0);
    entries.set(path, { path, pieces });
  }
  if (random.chance(0.5)) return [...entries.values()];

  const left = random.chance(0.6) ? key(random, 1) : random.pick(PLAIN_KEYS);
  const sign = random.pick(BLANKS) + random.pick(["=", "=", "="]) + random.pick(BLANKS);
  const pieces = [random.pick(["", "-", " ", "\t"]) + left + sign + trap + behind(random) + end(random, 1)];
  if (random.chance(0.3)) pieces.unshift(line(random, 0.5) + end(random, 2));
  const path = somewhere(random, 0.5);
  const target = "etc/sysctl.d/README";
  if (random.chance(0.15)) entries.set(path, { path, link: `/${target}` }).set(target, { path: target, pieces });
  else entries.set(path, { path, pieces });
  return [...entries.values()];
}

/** What can follow a value: the kernel ignores it after a blank. */
function behind(random: Random): string {
  if (random.chance(0.7)) return "";
  return (
    random.pick([" ", "\t", " # ", " ; was "]) +
    random.pick([SETTING, SETTING.slice(20), "x"]) +
    random.pick([" = 80", "=80", ""])
  );
}

function body(random: Random, wild: number, longest: number): Omit<Entry, "path"> {
  if (random.chance(wild * 0.1)) return {};
  if (random.chance(0.04 + wild * 0.1)) return { link: random.pick(random.chance(0.5) ? LINKS.slice(0, 2) : LINKS) };
  if (random.chance(0.04)) return { pieces: [] };
  const pieces: string[] = [];
  for (let lines = 1 + random.below(longest); lines > 0; lines--) pieces.push(line(random, wild) + end(random, wild));
  if (random.chance(wild * 0.01)) pieces.splice(random.below(pieces.length + 1), 0, longLine(random));
  if (random.chance(0.1 + wild * 0.2)) pieces.push(line(random, wild));
  return { pieces };
}

/** About as long as the longest line that systemd reads. */
function longLine(random: Random): string {
  const length = 1024 * 1024 - 2 + random.below(4);
  const start = random.pick(["#", `${SETTING}=77 `, " "]);
  const tail = random.pick(["", `${SETTING}=78`]);
  const filling = random.pick(["x", " "]).repeat(length - start.length - tail.length);
  return `${start}${filling}${tail}\n`;
}

function end(random: Random, wild: number): string {
  return random.chance(wild * 0.3) ? random.pick(WILD_ENDS) : "\n";
}

function line(random: Random, wild: number): string {
  const blank = () => (random.chance(wild * 0.5) ? random.pick(BLANKS) : "");
  if (random.chance(wild * 0.15)) return blank() + random.pick(WILD_LINES) + blank();
  if (random.chance(0.12)) return `${blank()}${random.pick(["#", ";", "# ", "; ", "##"])}${assignment(random, wild)}`;
  if (random.chance(0.15)) return `${random.pick(OTHERS)} = ${value(random, wild)}`;
  return blank() + assignment(random, wild) + blank();
}

function assignment(random: Random, wild: number): string {
  const exclusion = random.chance(0.04 + wild * 0.06);
  const dash = exclusion ? "-" : random.chance(0.05 + wild * 0.1) ? random.pick(["-", "-", "- ", "--"]) : "";
  const left = `${dash}${key(random, wild)}`;
  if (exclusion) return left;
  const sign = random.chance(wild)
    ? random.pick(BLANKS) + random.pick(["=", "=", "=", "=="]) + random.pick(BLANKS)
    : " = ";
  return left + (random.chance(0.3) ? "=" : sign) + value(random, wild);
}

function key(random: Random, wild: number): string {
  if (random.chance(0.1 + wild * 0.3)) return random.chance(0.5) ? random.pick(GLOBS) : mutated(random);
  return random.pick(random.chance(wild * 0.5) ? WILD_KEYS : PLAIN_KEYS);
}

/** The key with one to three characters replaced by parts of a glob, which mostly still match. */
function mutated(random: Random): string {
  let text: string = random.pick(PLAIN_KEYS);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(text.length);
    const c = text[at] as string;
    const forms = [
      "?",
      "*",
      `[${c}]`,
      `[!${c}]`,
      "[!x]",
      "[^_]",
      "[a-z]",
      "[_-z]",
      `[${c}-z]`,
      `\\${c}`,
      `[\\${c}]`,
      `[${c}`,
      `${c}]`,
      `{${c},x}`,
      `{${c}}`,
      `{x,${c}`,
      `{,${c}}`,
      "[[:lower:]]",
      "[[:alnum:]_]",
      "[[:punct:][:lower:]]",
      `[${c}=]`,
      `[[.${c}.]]`,
      "[]-z]",
      "[a-]",
      `[--${c}]`,
      "\\*",
      "**",
      "",
      `${c}*`,
      `*${c}`,
    ];
    text = text.slice(0, at) + random.pick(forms) + text.slice(at + 1);
  }
  return random.chance(0.1) ? text + random.pick(["/", ".", "/.", "//"]) : text;
}

function value(random: Random, wild: number): string {
  if (random.chance(wild * 0.6)) return random.pick(WILD_VALUES);
  return random.chance(0.15) ? String(random.below(1100)) : random.pick(PLAIN_VALUES);
}
