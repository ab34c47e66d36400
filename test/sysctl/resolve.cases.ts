import { SETTING } from "../../shim/lib/here/threshold.js";
import type { Entry, Tree } from "./tree.js";

/** A rule of sysctl.d(5), or something in which systemd-sysctl once differed from us. */
interface Case {
  readonly name: string;
  readonly tree: Tree;
  /** What wins: its value and "file:line" below the root; undefined: nothing is declared. */
  readonly declared: readonly [value: number, from: string] | undefined;
  /** "file:line" of invalid assignments that would have won. */
  readonly invalid?: readonly string[];
  /** systemd-sysctl cannot be asked: it is a rule of our own, or needs more of the root than a tree has. */
  readonly oursAlone?: true;
}

const EXPLICIT = "net/ipv4/ip_unprivileged_port_start";
const LONGEST = 1024 * 1024;

const file = (path: string, ...pieces: string[]): Entry => ({ path, pieces });
const link = (path: string, target: string): Entry => ({ path, link: target });
const etc = (...pieces: string[]): Entry => file("etc/sysctl.d/web.conf", ...pieces);
const set = (value: string | number, key: string = SETTING) => `${key} = ${value}\n`;

/** One file with one line that takes effect: by default the first. */
function takes(name: string, text: string, value = 80, line = 1): Case {
  return { name, tree: [etc(text)], declared: [value, `etc/sysctl.d/web.conf:${line}`] };
}

/** One file in which nothing takes effect. */
function ignores(name: string, text: string): Case {
  return { name, tree: [etc(text)], declared: undefined };
}

function refuses(name: string, value: string): Case {
  return { name, tree: [etc(set(value))], declared: undefined, invalid: ["etc/sysctl.d/web.conf:1"] };
}

const FILES: readonly Case[] = [
  { name: "no files", tree: [], declared: undefined },
  {
    name: "the last name wins, whichever directory it lies in",
    tree: [file("etc/sysctl.d/10-a.conf", set(70)), file("usr/lib/sysctl.d/20-a.conf", set(80))],
    declared: [80, "usr/lib/sysctl.d/20-a.conf:1"],
  },
  ...(["run", "usr/local/lib", "usr/lib"] as const).map(
    (weaker): Case => ({
      name: `/etc's file counts, not /${weaker}'s of the same name`,
      tree: [file(`${weaker}/sysctl.d/web.conf`, set(70)), etc(set(80))],
      declared: [80, "etc/sysctl.d/web.conf:1"],
    }),
  ),
  {
    name: "/run's file counts, not /usr/local/lib's and /usr/lib's of the same name",
    tree: ["run", "usr/local/lib", "usr/lib"].map((top, at) => file(`${top}/sysctl.d/web.conf`, set(80 + at))),
    declared: [80, "run/sysctl.d/web.conf:1"],
  },
  {
    name: "an empty file masks",
    tree: [file("usr/lib/sysctl.d/web.conf", set(80)), file("run/sysctl.d/web.conf")],
    declared: undefined,
  },
  ...(["/dev/null", "/nowhere", "web.conf"] as const).map(
    (target): Case => ({
      name: `a link to ${target} masks`,
      tree: [file("usr/lib/sysctl.d/web.conf", set(80)), link("etc/sysctl.d/web.conf", target)],
      declared: undefined,
    }),
  ),
  {
    name: "a directory masks",
    tree: [file("usr/lib/sysctl.d/web.conf", set(80)), { path: "etc/sysctl.d/web.conf" }],
    declared: undefined,
  },
  {
    name: "a directory of that name is passed over",
    tree: [file("usr/lib/sysctl.d/10.conf", set(80)), { path: "etc/sysctl.d/web.conf" }],
    declared: [80, "usr/lib/sysctl.d/10.conf:1"],
  },
  {
    name: "a weaker mask masks nothing",
    tree: [etc(set(80)), link("usr/lib/sysctl.d/web.conf", "/dev/null")],
    declared: [80, "etc/sysctl.d/web.conf:1"],
  },
  {
    name: "a link to a file is that file",
    tree: [link("etc/sysctl.d/web.conf", "../sysctl.d/README"), file("etc/sysctl.d/README", set(80))],
    declared: [80, "etc/sysctl.d/web.conf:1"],
  },
  {
    name: "a link by an absolute path means the root's file, not the machine's",
    tree: [
      link("usr/lib/sysctl.d/web.conf", "/usr/lib/sysctl.d/50-default.conf"),
      file("usr/lib/sysctl.d/50-default.conf", set(80)),
      file("run/sysctl.d/99-sysctl.conf", set(70)),
    ],
    declared: [80, "usr/lib/sysctl.d/web.conf:1"],
  },
  {
    name: "a directory may be a link, by an absolute path as well",
    tree: [link("usr/local/lib/sysctl.d", "/opt/./sysctl/../sysctl"), file("opt/sysctl/web.conf", set(80))],
    declared: [80, "usr/local/lib/sysctl.d/web.conf:1"],
    oursAlone: true,
  },
  {
    name: "files that are hidden or not called *.conf do not count",
    tree: [".web.conf", ".conf", "README", "web.conf~", "web.CONF", "web.conf.rpmnew"].map((name) =>
      file(`etc/sysctl.d/${name}`, set(80)),
    ),
    declared: undefined,
  },
  {
    name: "names are ordered by their bytes: digits",
    tree: [file("etc/sysctl.d/9.conf", set(80)), file("etc/sysctl.d/10.conf", set(70))],
    declared: [80, "etc/sysctl.d/9.conf:1"],
  },
  {
    name: "names are ordered by their bytes: capitals",
    tree: [file("etc/sysctl.d/a.conf", set(80)), file("etc/sysctl.d/Z.conf", set(70))],
    declared: [80, "etc/sysctl.d/a.conf:1"],
  },
  {
    name: "names need not be UTF-8",
    tree: [file("etc/sysctl.d/\xff.conf", set(80)), file("etc/sysctl.d/\xc3\xa9.conf", set(70))],
    declared: [80, "etc/sysctl.d/\ufffd.conf:1"],
  },
  {
    name: "names are shown as what they say",
    tree: [file("etc/sysctl.d/\xc3\xa9.conf", set(80))],
    declared: [80, "etc/sysctl.d/é.conf:1"],
  },
  {
    name: "/etc/sysctl.conf is read last",
    tree: [file("etc/sysctl.d/zz.conf", set(70)), file("etc/sysctl.conf", set(80))],
    declared: [80, "etc/sysctl.conf:1"],
    oursAlone: true,
  },
  {
    name: "/etc/sysctl.conf may be a directory",
    tree: [etc(set(80)), { path: "etc/sysctl.conf" }],
    declared: [80, "etc/sysctl.d/web.conf:1"],
    oursAlone: true,
  },
];

const LINES: readonly Case[] = [
  takes("the last line wins", set(70) + set(80), 80, 2),
  takes("no final line end", `${SETTING} = 80`),
  {
    name: "no final line end, and the next file begins with digits",
    tree: [file("etc/sysctl.d/10.conf", `${SETTING} = 8`), file("etc/sysctl.d/20.conf", "0\n1 = 2\n")],
    declared: [8, "etc/sysctl.d/10.conf:1"],
  },
  takes("comments", `# ${set(70)}; ${set(71)}#${set(72)}  ;${set(73)}${set(80)}\t# ${set(74)}`, 80, 5),
  refuses("no comment behind a number without a blank", "80#web"),
  takes("the kernel ignores what follows a number and a blank", set("80 # web")),
  takes("blanks and tabs anywhere around", ` \t${SETTING}\t =  80 \t\n`),
  takes("no blanks", `${SETTING}=80\n`),
  ignores("a vertical tab is no blank", `\x0b${set(80)}`),
  ignores("a byte order mark belongs to the key", `\xef\xbb\xbf${set(80)}`),
  takes("lines end with LF", `#\n${set(80)}`, 80, 2),
  takes("lines end with CR LF", `#\r\n${SETTING} = 80\r\n`, 80, 2),
  takes("lines end with CR", `#\r${SETTING} = 80\r#`, 80, 2),
  takes("lines end with LF CR", `#\n\r${SETTING} = 80\n\r`, 80, 2),
  takes("lines end with NUL", `#\0${SETTING} = 80\0#`, 80, 2),
  takes("lines end with LF NUL", `#\n\0${SETTING} = 80\n\0`, 80, 2),
  takes("lines end with CR LF NUL", `#\r\n\0${SETTING} = 80`, 80, 2),
  takes("NUL LF ends two lines", `#\0\n${SETTING} = 80`, 80, 3),
  takes("LF CR LF ends two lines", `#\n\r\n${SETTING} = 80`, 80, 3),
  takes("CR CR LF ends two lines", `#\r\r\n${SETTING} = 80`, 80, 3),
  takes("bytes that are not UTF-8", `\xff = \xfe\n# \xc3\n${set(80)}`, 80, 3),
  takes("a line of a million blanks", `${" ".repeat(LONGEST - 100)}${set(80)}`),
  takes("a million blanks behind the number", `${SETTING} = 80${" ".repeat(LONGEST - 100)}x\n`),
  takes("the longest line", `#${"x".repeat(LONGEST - 2)}\n${set(80)}`, 80, 2),
  takes("a line too long ends the file", `${set(80)}#${"x".repeat(LONGEST - 1)}\n${set(70)}`),
  ignores("no assignment", `${SETTING}\n${SETTING} 80\n${SETTING}: 80\n`),
];

const KEYS: readonly Case[] = [
  takes("slashes", set(80, EXPLICIT)),
  takes("a leading slash", set(80, `/${EXPLICIT}`)),
  takes("doubled slashes", set(80, "//net//ipv4/ip_unprivileged_port_start")),
  takes("doubled dots", set(80, "net..ipv4.ip_unprivileged_port_start")),
  takes("a leading dot", set(80, `.${SETTING}`)),
  takes("a slash behind", set(80, `${EXPLICIT}/`)),
  takes("a dot behind", set(80, `${SETTING}.`)),
  takes("a part that is a dot", set(80, "net/./ipv4/ip_unprivileged_port_start")),
  ignores("two dots lead nowhere", set(80, "net/ipv4/../ipv4/ip_unprivileged_port_start")),
  ignores("a slash first leaves dots as they are", set(80, "net/ipv4.ip_unprivileged_port_start")),
  ignores("a dot first makes slashes dots", set(80, "net.ipv4/ip_unprivileged_port_start")),
  ignores("/proc/sys does not belong to a key", set(80, `/proc/sys/${EXPLICIT}`)),
  ignores("capitals", set(80, SETTING.toUpperCase())),
  takes("different spellings are one key", set(70, EXPLICIT) + set(80), 80, 2),
  takes("a dash before the key: it may fail", `-${set(80)}`),
  takes("a dash and a blank", `- ${set(80)}`),
  ignores("two dashes", `--${set(80)}`),
  takes("a backslash means nothing without a glob", set(80, "net.ipv4.ip\\_unprivileged_port_start") + set(81), 81, 2),
  ignores("braces mean nothing without a glob", set(80, "net.ipv4.{ip_unprivileged_port_start,x}")),
];

const glob = (name: string, pattern: string) => takes(name, set(80, pattern));
const noGlob = (name: string, pattern: string) => ignores(name, set(80, pattern));

const GLOBS: readonly Case[] = [
  glob("*", "net.ipv4.ip_unprivileged_*"),
  glob("* may match nothing", "net.ipv4.ip_unprivileged_port_start*"),
  glob("* in every part", "*.*.*privileged*start"),
  noGlob("many * that lead nowhere", `net.ipv4.ip_${"*?*".repeat(24)}`),
  glob("many * that match", `net.ipv4.${"*".repeat(40)}t_start`),
  noGlob("* does not reach over a slash", "net.*port_start"),
  glob("?", "net.ipv?.ip_unprivileged_port_star?"),
  noGlob("? is one character", "net.ipv4.ip_unprivileged_port_start?"),
  glob("[…]", "net.ipv4.ip_[abu]nprivileged_port_start"),
  noGlob("[…] that lacks it", "net.ipv4.ip_[abc]nprivileged_port_start"),
  glob("a range", "net.ipv4.ip_[t-v]nprivileged_port_start"),
  noGlob("a range that runs backwards", "net.ipv4.ip_[v-t]nprivileged_port_start"),
  noGlob("[!…]", "net.ipv4.ip_[!u]nprivileged_port_start"),
  glob("[^…]", "net.ipv4.ip_[^a]nprivileged_port_start"),
  glob("] first in a bracket", "net.ipv4.ip_[]u]nprivileged_port_start"),
  glob("a class", "net.ipv4.ip_[[:lower:]]nprivileged_port_start"),
  noGlob("a class that lacks it", "net.ipv4.ip_[[:upper:][:digit:]]nprivileged_port_start"),
  noGlob("a class that there is not", "net.ipv4.ip_[[:letter:]]nprivileged_port_start"),
  noGlob("the same, negated", "net.ipv4.ip_[![:letter:]]nprivileged_port_start"),
  glob("a collating symbol", "net/ipv4/ip_[[.u.]]nprivileged_port_start"),
  noGlob("an equivalence class: its = ends the key", "net.ipv4.ip_[[=u=]]nprivileged_port_start"),
  glob("a backslash in a bracket", "net.ipv4.ip_[\\u]nprivileged_port_start"),
  glob("a backslash outside", "net.ipv4.ip_\\unprivileged_port_star?"),
  noGlob("an escaped *", "net.ipv4.ip_unprivileged_port_\\*"),
  noGlob("a bracket that is never closed", "net.ipv4.ip_[unprivileged_port_start"),
  noGlob("a bracket does not reach over a slash", "net.ipv[4.ip_]unprivileged_port_start"),
  glob("braces", "net.{ipv4,ipv6}.ip_unprivileged_port_star?"),
  glob("braces in braces", "net.ipv4.{x,ip_{un,}privileged}_*"),
  glob("braces with one thing in them", "net.ipv4.{ip}_unprivileged*"),
  noGlob("braces that are never closed", "net.ipv4.{ip_unprivileged,x*"),
  glob("a slash behind", "net/ipv4/ip_unprivileged_port_star?/"),
  glob("a slash before, and doubled", "//net//ipv?/ip_unprivileged_port_start"),
  noGlob("two dots lead nowhere with globs either", "net/ipv4/../ipv?/ip_unprivileged_port_start"),
  takes("an explicit key beats a glob that follows", set(80) + set(70, "net.ipv4.*start")),
  takes("an explicit key beats a glob that precedes", set(70, "net.ipv4.*start") + set(80), 80, 2),
  ignores("an exclusion shields the key from globs", `-${SETTING}\n${set(70, "net.ipv4.*start")}`),
  ignores("whatever its place", `${set(70, "net.ipv4.*start")}-${SETTING}\n`),
  takes("an exclusion gives way to a later assignment", `-${SETTING}\n${set(80)}`, 80, 2),
  ignores("an exclusion takes an earlier assignment back", `${set(80)}-${SETTING}\n`),
  takes("an exclusion by a glob excludes nothing", `-net.ipv4.ip_unpriv*\n${set(80, "net.ipv4.*start")}`, 80, 2),
  takes("of two globs the later", set(70, "net.ipv4.*start") + set(80, "net.ipv4.*_start"), 80, 2),
  takes(
    "a glob given the same value again keeps its place",
    set(70, "net.ipv4.*start") + set(80, "net.ipv4.*_start") + set(70, "net.ipv4.*start"),
    80,
    2,
  ),
  takes(
    "a glob given another value moves to the end",
    set(70, "net.ipv4.*start") + set(71, "net.ipv4.*_start") + set(80, "net.ipv4.*start"),
    80,
    3,
  ),
];

const VALUES: readonly Case[] = [
  takes("0", set(0), 0),
  takes("hexadecimal", set("0x50")),
  takes("octal", set("0120")),
  takes("the first local port", set(32768), 32768),
  refuses("above the first local port", "32769"),
  refuses("more than there are ports", "65536"),
  refuses("less than nothing", "-1"),
  refuses("nothing", ""),
  refuses("a word", "web"),
  refuses("a number with something behind it", "80x"),
  refuses("twice the sign", "= 80"),
  {
    name: "what the kernel refuses is named, and what stood before it is not in force",
    tree: [file("etc/sysctl.d/10.conf", set(80)), file("etc/sysctl.d/20.conf", `#\n${set("eighty")}`)],
    declared: undefined,
    invalid: ["etc/sysctl.d/20.conf:2"],
  },
  {
    name: "of globs, what the kernel refuses leaves the earlier one in force",
    tree: [etc(set(80, "net.ipv4.*start") + set("eighty", "net.ipv4.*_start"))],
    declared: [80, "etc/sysctl.d/web.conf:1"],
    invalid: ["etc/sysctl.d/web.conf:2"],
  },
  {
    name: "an invalid value of a glob is not reported if a later one is valid",
    tree: [etc(set("eighty", "net.ipv4.*start") + set(80, "net.ipv4.*_start"))],
    declared: [80, "etc/sysctl.d/web.conf:2"],
  },
];

/** Every case, by subject. */
export const CASES: Record<string, readonly Case[]> = {
  files: FILES,
  lines: LINES,
  keys: KEYS,
  globs: GLOBS,
  values: VALUES,
};
