import type { User } from "../../shim/lib/here/user.js";

/** What gosu does with a spec. */
interface Case {
  readonly promise: string;
  readonly spec: string;
  readonly files: Files;
  /** undefined: rejected. */
  readonly expected: User | undefined;
  /** What gosu up to 1.19 does, if that differs; undefined in it: rejected. */
  readonly gosu?: { readonly user: User | undefined };
}

/** The text of /etc/passwd and /etc/group; undefined: there is no such file. */
export interface Files {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

type Row = readonly [uid: number, gid: number, groups: readonly number[], home: string];
const REFUSED = undefined;

const US = process.getuid?.() ?? 0;
const OUR_GROUP = process.getgid?.() ?? 0;

// debian:bookworm-slim as gosu's own test (Dockerfile.test-debian) prepares it: user nobody is in all groups, games in
// users.
const DEBIAN: Files = {
  passwd: `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
games:x:5:60:games:/usr/games:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  group: `root:x:0:nobody
daemon:x:1:nobody
bin:x:2:nobody
sys:x:3:nobody
tty:x:5:nobody
www-data:x:33:nobody
shadow:x:42:nobody
video:x:44:nobody
games:x:60:nobody
users:x:100:games,nobody
nogroup:x:65534:nobody
`,
};
const ROOT: Row = [0, 0, [], "/root"];
const GAMES: Row = [5, 60, [100], "/usr/games"];
const OUR_HOME = new Map([
  [0, "/root"],
  [65534, "/nonexistent"],
]);

function row(promise: string, spec: string, files: Files, user: Row | undefined): Case {
  return { promise, spec, files, expected: user && userOf(user) };
}

/** A row in which moby/sys/user of July 2026, or portshim on purpose, differs from gosu up to 1.19. */
function differs(promise: string, spec: string, files: Files, user: Row | undefined, gosu: Row | undefined): Case {
  return { ...row(promise, spec, files, user), gosu: { user: gosu && userOf(gosu) } };
}

function userOf([uid, gid, groups, home]: Row): User {
  return { uid, gid, groups, home };
}

/** Files with these lines in /etc/passwd; most have the user A. */
const passwd = (...lines: string[]): Files => ({ passwd: `${lines.join("\n")}\n`, group: "users:x:100:\n" });
const A: Row = [5, 100, [], "/a"];

/** Files with these lines in /etc/group, and the user web. */
const group = (...lines: string[]): Files => ({
  passwd: "root:x:0:0::/root:\nweb:x:1234:100::/srv/web:\n",
  group: `${lines.join("\n")}\n`,
});
const web = (gid: number, groups: readonly number[] = []): Row => [1234, gid, groups, "/srv/web"];

/**
 * Every spec of gosu's own tests (Dockerfile.test-debian, Dockerfile.test-alpine) but the empty one, which portshim
 * rejects and for gosu is the current user.
 */
export const GOSU_TABLE: readonly Case[] = [
  row("root's number", "0", DEBIAN, ROOT),
  row("root's number and group number", "0:0", DEBIAN, ROOT),
  row("root's name", "root", DEBIAN, ROOT),
  row("a number and a group's name", "0:root", DEBIAN, ROOT),
  row("a name and a group's number", "root:0", DEBIAN, ROOT),
  row("a name and a group's name", "root:root", DEBIAN, ROOT),
  row("a number that is not listed has our group", "1000", DEBIAN, [1000, OUR_GROUP, [], "/"]),
  row("a group number that is not listed", "0:1000", DEBIAN, [0, 1000, [], "/root"]),
  row("two numbers that are not listed", "1000:1000", DEBIAN, [1000, 1000, [], "/"]),
  row("a name and a group number that is not listed", "root:1000", DEBIAN, [0, 1000, [], "/root"]),
  row("a number that is not listed, root's group number", "1000:0", DEBIAN, [1000, 0, [], "/"]),
  row("a number that is not listed, root's group", "1000:root", DEBIAN, [1000, 0, [], "/"]),
  row("a number that is not listed, a group's name", "1000:daemon", DEBIAN, [1000, 1, [], "/"]),
  row("a user in another group", "games", DEBIAN, GAMES),
  row("with a group there are no others", "games:daemon", DEBIAN, [5, 1, [], "/usr/games"]),
  row("an empty group is none", "0:", DEBIAN, ROOT),
  row("an empty user is us", ":0", DEBIAN, [US, 0, [], OUR_HOME.get(US) ?? "/"]),
  row("no such user", "bogus", DEBIAN, REFUSED),
  row("a name that begins with a digit is a name", "0day", DEBIAN, REFUSED),
  row("no such group", "0:bogus", DEBIAN, REFUSED),
  row("a group that begins with a digit is a name", "0:0day", DEBIAN, REFUSED),
];

const DEBIAN_TOO: readonly Case[] = [
  row("a user and one of their groups", "games:users", DEBIAN, [5, 100, [], "/usr/games"]),
  row("a user and root's group number", "games:0", DEBIAN, [5, 0, [], "/usr/games"]),
  row("a user's own group as GROUP leaves no others", "games:60", DEBIAN, [5, 60, [], "/usr/games"]),
  row("an empty group after a name: all their groups", "games:", DEBIAN, GAMES),
  row("an empty group after a number: all their groups", "5:", DEBIAN, GAMES),
  row("an empty group after root's name", "root:", DEBIAN, ROOT),
  row("an empty group after a number that is not listed", "1000:", DEBIAN, [1000, OUR_GROUP, [], "/"]),
  row("an empty user and a group's name", ":root", DEBIAN, [US, 0, [], OUR_HOME.get(US) ?? "/"]),
  row("an empty user and no such group", ":bogus", DEBIAN, REFUSED),
  row("a user in all groups, their own included", "nobody", DEBIAN, [
    65534,
    65534,
    [0, 1, 2, 3, 5, 33, 42, 44, 60, 100, 65534],
    "/nonexistent",
  ]),
  row("a number that is listed is in that user's groups", "5", DEBIAN, GAMES),
];

const NUMBERS: readonly Case[] = [
  row("the largest number", "2147483647", DEBIAN, [2147483647, OUR_GROUP, [], "/"]),
  row("the largest group number", "0:2147483647", DEBIAN, [0, 2147483647, [], "/root"]),
  row("one more is out of range", "2147483648", DEBIAN, REFUSED),
  row("one more is out of range as a group", "0:2147483648", DEBIAN, REFUSED),
  row("2^32 is out of range, not root", "4294967296", DEBIAN, REFUSED),
  row("a number of more than 64 bits", "18446744073709551616", DEBIAN, REFUSED),
  row("a group number of more than 64 bits", "0:18446744073709551616", DEBIAN, REFUSED),
  row("a negative number", "-1", DEBIAN, REFUSED),
  row("a negative group number", "0:-1", DEBIAN, REFUSED),
  row("a plus sign", "+5", DEBIAN, GAMES),
  row("a plus sign before a group", "0:+5", DEBIAN, [0, 5, [], "/root"]),
  row("minus zero", "-0", DEBIAN, ROOT),
  row("leading zeros are not octal", "0010:010", DEBIAN, [10, 10, [], "/"]),
  row("leading zeros", "007", DEBIAN, [7, OUR_GROUP, [], "/"]),
  row("more digits than a number needs", "00000000000000000000005", DEBIAN, GAMES),
  row("a sign alone is a name", "+", DEBIAN, REFUSED),
  row("two signs make a name", "+-5", DEBIAN, REFUSED),
  row("hexadecimal is a name", "0x5", DEBIAN, REFUSED),
  row("an exponent is a name", "1e3", DEBIAN, REFUSED),
  row("a fraction is a name", "5.0", DEBIAN, REFUSED),
  row("an underscore makes a name", "1_000", DEBIAN, REFUSED),
  row("other scripts' digits are a name", "٥", DEBIAN, REFUSED),
  row("a blank before a number makes a name", " 0", DEBIAN, REFUSED),
  row("a blank after a number makes a name", "0 ", DEBIAN, REFUSED),
  row("a newline after a number makes a name", "0\n", DEBIAN, REFUSED),
  row("a blank before a group number makes a name", "0: 0", DEBIAN, REFUSED),
];

const NAMES: readonly Case[] = [
  row("names count with upper and lower case", "Root", DEBIAN, REFUSED),
  row("a blank after a name is a part of it", "root ", DEBIAN, REFUSED),
  row("a name in quotes", '"root"', DEBIAN, REFUSED),
  row("a newline never joins two lines", "root:x:0:0\n", DEBIAN, REFUSED),
  row("dots, dashes, dollars", "a.b-c$", passwd("a.b-c$:x:5:100::/a:"), A),
  row("an at sign and a backslash", "DOM\\web@x", passwd("DOM\\web@x:x:5:100::/a:"), A),
  row("a blank in a name", "web server", passwd("web server:x:5:100::/a:"), A),
  row("a name that is not ASCII", "müller", passwd("müller:x:5:100::/a:"), A),
  row("the same name in other code points", "mu\u0308ller", passwd("müller:x:5:100::/a:"), REFUSED),
  row("a name that is a pattern", ".*", DEBIAN, REFUSED),
  row("a property of every object", "constructor", DEBIAN, REFUSED),
  row("of two lines with one name the first", "web", passwd("web:x:5:100::/a:", "web:x:6:0::/b:"), A),
  row("of two lines with one id the first", "5", passwd("a:x:5:100::/a:", "b:x:5:0::/b:"), A),
  row("a number is not a name", "1000", passwd("1000:x:5:100::/a:"), [1000, OUR_GROUP, [], "/"]),
  row("a number is an id, though it is another's name", "1000", passwd("1000:x:5:100::/a:", "web:x:1000:44::/b:"), [
    1000,
    44,
    [],
    "/b",
  ]),
  row("a user whose name is a number, by id", "5", passwd("1000:x:5:100::/a:"), A),
  row("a group's number is not a name", "web:44", group("44:x:55:"), web(44)),
  row("a line without a name, by id", "5", passwd(":x:5:100::/a:"), A),
  // moby/sys/user since v0.4.1 (June 2026, c66bd2d): a number is never a name, and no line makes it valid.
  differs("a name of too many digits", "18446744073709551616", passwd("18446744073709551616:x:5:100::/a:"), REFUSED, A),
  differs("a number out of range that is listed", "2147483648", passwd("a:x:2147483648:100::/a:"), REFUSED, [
    2147483648,
    100,
    [],
    "/a",
  ]),
  differs(
    "a group number out of range that is listed",
    "web:2147483648",
    group("a:x:2147483648:"),
    REFUSED,
    web(2147483648),
  ),
];

const COLONS: readonly Case[] = [
  row("a colon alone is us", ":", passwd(`a:x:${US + 1}:5::/a:`, `us:x:${US}:77::/us:`), [US, 77, [], "/us"]),
  row("a colon alone is us, not listed", ":", passwd(`a:x:${US + 1}:5::/a:`), [US, OUR_GROUP, [], "/"]),
  row("a colon alone brings our groups", ":", { passwd: `us:x:${US}:77::/us:\n`, group: "a:x:44:us\n" }, [
    US,
    77,
    [44],
    "/us",
  ]),
  row("an empty user and a group: no other groups", ":5", { passwd: `us:x:${US}:77::/us:\n`, group: "a:x:44:us\n" }, [
    US,
    5,
    [],
    "/us",
  ]),
  row("of three, no such user", "a:b:c", DEBIAN, REFUSED),
  // moby/sys/user since July 2026 (e5cc2e7, in no release yet): what follows the first colon is the group.
  differs("three numbers", "0:0:0", DEBIAN, REFUSED, ROOT),
  differs("a second colon", "games:users:", DEBIAN, REFUSED, [5, 100, [], "/usr/games"]),
  differs("two colons", "0::", DEBIAN, REFUSED, ROOT),
  // Our own rule: an empty variable is a mistake, and would give root.
  differs("nothing", "", passwd(`us:x:${US}:77::/us:`), REFUSED, [US, 77, [], "/us"]),
];

const GROUPS: readonly Case[] = [
  row(
    "several groups, in the file's order",
    "web",
    group("video:x:44:web,other", "audio:x:29:other", "plugdev:x:46:other,web", "cdrom:x:24:web"),
    web(100, [44, 46, 24]),
  ),
  row(
    "a group that is listed twice is there twice",
    "web",
    group("video:x:44:web", "film:x:44:web"),
    web(100, [44, 44]),
  ),
  row("a user who is listed twice is there once", "web", group("video:x:44:web,web"), web(100, [44])),
  row("one's own group that lists one", "web", group("users:x:100:web"), web(100, [100])),
  row("of two lines with one group name the first", "web:a", group("a:x:44:", "a:x:45:"), web(44)),
  row("members are names, not numbers", "web", group("video:x:44:1234"), web(100)),
  row("a blank makes another member", "web", group("a:x:44:other, web", "b:x:45:web ,other"), web(100)),
  row("part of a member's name", "web", group("a:x:44:webmaster,theweb"), web(100)),
  row("empty members", "web", group("a:x:44:,,web,"), web(100, [44])),
  row("a user without a name is no empty member", "5", { passwd: ":x:5:100::/a:\n", group: "a:x:44:,b\nc:x:45:\n" }, A),
  row("a number that is not listed is a member of no group", "5", group("a:x:44:5", "b:x:45:"), [
    5,
    OUR_GROUP,
    [],
    "/",
  ]),
];

const LINES: readonly Case[] = [
  row("blank lines", "web", passwd("", "  ", "\t", "web:x:5:100::/a:", ""), A),
  row("blanks around a line", "web", passwd(" \tweb:x:5:100::/a \t"), A),
  row("blanks of every script around a line", "web", passwd("\u00a0\u3000web:x:5:100::/a\u0085"), A),
  row("a byte order mark belongs to the name", "web", passwd("\ufeffweb:x:5:100::/a:"), REFUSED),
  row("lines that end as on Windows", "web", passwd("root:x:0:0::/root:\r", "web:x:5:100::/a\r"), A),
  row("no newline at the end", "web", { passwd: "web:x:5:100::/a", group: "a:x:44:web" }, [5, 100, [44], "/a"]),
  row("more fields than there are", "web", passwd("web:x:5:100::/a:/bin/sh:more:"), A),
  row("an empty home", "web", passwd("web:x:5:100:::/bin/sh"), [5, 100, [], ""]),
  row("a home of blanks", "web", passwd("web:x:5:100:: :/bin/sh"), [5, 100, [], " "]),
  row("no home", "web", passwd("web:x:5:100"), [5, 100, [], ""]),
  row("an id with a sign and leading zeros", "web", passwd("web:x:+0005:100::/a:"), A),
  row("NIS: nobody else is there", "web", passwd("+::::::", "-bad::::::", "+@staff::::::"), REFUSED),
  row("a comment in /etc/passwd is somebody's line", "#web", passwd("#web:x:5:100::/a:"), A),
  row("a comment in /etc/group is one", "web:#video", group("#video:x:44:web"), REFUSED),
  row("a comment in /etc/group has no members", "web", group(" # video:x:44:web"), web(100)),
  row("a comment's sign within a line", "web:a#b", group("a#b:x:44:"), web(44)),
  row("blank lines in /etc/group", "web", group("", " ", "video:x:44:web "), web(100, [44])),
  row("a group without members", "web", group("video:x:44"), web(100)),
  row("NIS in /etc/group", "web", group("+:::", "video:x:44:web"), web(100, [44])),
  row("no /etc/passwd: numbers still count", "5:6", { passwd: undefined, group: "" }, [5, 6, [], "/"]),
  row("no /etc/passwd: root's home is not known", "0", { passwd: undefined, group: "" }, [0, OUR_GROUP, [], "/"]),
  row("no /etc/passwd: names do not", "root", { passwd: undefined, group: "" }, REFUSED),
  row("no /etc/passwd: groups are known", "5:a", { passwd: undefined, group: "a:x:44:\n" }, [5, 44, [], "/"]),
  row("no /etc/group: no groups", "web", { ...group(), group: undefined }, web(100)),
  row("no /etc/group: numbers still count", "web:44", { ...group(), group: undefined }, web(44)),
  row("no /etc/group: names do not", "web:users", { ...group(), group: undefined }, REFUSED),
  row("neither", "5:6", { passwd: undefined, group: undefined }, [5, 6, [], "/"]),
  row("both empty", "5", { passwd: "", group: "" }, [5, OUR_GROUP, [], "/"]),
];

const IDS: readonly Case[] = [
  // Of our own: gosu takes an id that is missing or no number for 0, root's.
  differs("no group id", "web", passwd("web:x:5"), REFUSED, [5, 0, [], ""]),
  differs("a group id that is no number", "web", passwd("web:x:5:users::/a:"), REFUSED, [5, 0, [], "/a"]),
  differs("no id", "web", passwd("web"), REFUSED, [0, 0, [], ""]),
  differs("an id that is no number", "web", passwd("web:x:5b:100::/a:"), REFUSED, [0, 100, [], "/a"]),
  differs("an empty id", "web", passwd("web:x::100::/a:"), REFUSED, [0, 100, [], "/a"]),
  differs("an id after a blank", "web", passwd("web:x: 5:100::/a:"), REFUSED, [0, 100, [], "/a"]),
  differs("NIS: the plus is a name", "+", passwd("+::::::"), REFUSED, [0, 0, [], ""]),
  differs("NIS: a line without an id is not root's", "0", passwd("+::::::", "root:x:0:0::/root:"), ROOT, [
    0,
    0,
    [],
    "",
  ]),
  differs("a comment is not root's line", "0", passwd("# users", "root:x:0:0::/root:"), ROOT, [0, 0, [], ""]),
  differs("a group without an id", "web:video", group("video"), REFUSED, web(0)),
  differs("a supplementary group whose id is no number", "web", group("video:x:many:web"), REFUSED, web(100, [0])),
  differs("NIS in /etc/group: the plus is a name", "web:+", group("+:::"), REFUSED, web(0)),
  row("an id that is not used does not count", "web:44", passwd("web:x:5:users::/a:"), [5, 44, [], "/a"]),
  row("nor one of another's line", "web", passwd("bad:x:y:z::/:", "web:x:5:100::/a:"), A),
  row("the kernel's largest id", "web", passwd("web:x:4294967294:100::/a:"), [4294967294, 100, [], "/a"]),
  row("2^32 - 1, for the kernel no id", "web", passwd("web:x:4294967295:100::/a:"), REFUSED),
  row("-1, for the kernel no id", "web", passwd("web:x:-1:100::/a:"), REFUSED),
  row("2^32 - 1 as a group", "web", passwd("web:x:5:4294967295::/a:"), REFUSED),
  row("2^32 - 1 as a supplementary group", "web", group("a:x:4294967295:web"), REFUSED),
  row("a supplementary group that does not count", "web:44", group("a:x:4294967295:web"), web(44)),
  row("more than 64 bits", "web", passwd("web:x:18446744073709551616:100::/a:"), REFUSED),
  // Our own rule: gosu passes these to the kernel, which uses their lower 32 bits.
  differs("2^32 would be root", "web", passwd("web:x:4294967296:100::/a:"), REFUSED, [0, 100, [], "/a"]),
  differs("-2 would be 2^32 - 2", "web", passwd("web:x:-2:100::/a:"), REFUSED, [4294967294, 100, [], "/a"]),
  differs("2^32 as a group would be root's", "web:a", group("a:x:4294967296:"), REFUSED, web(0)),
  differs("2^32 as a supplementary group", "web", group("a:x:4294967296:web"), REFUSED, web(100, [0])),
];

/** The promises, a row each. */
export const CASES: readonly Case[] = [
  ...GOSU_TABLE,
  ...DEBIAN_TOO,
  ...NUMBERS,
  ...NAMES,
  ...COLONS,
  ...GROUPS,
  ...LINES,
  ...IDS,
];
