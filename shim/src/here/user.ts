import { join } from "node:path";
import { PortshimError } from "../error.js";
import { REASON } from "../report/reason.js";
import { isUtf8, printable } from "../text.js";
import { contentOf } from "./file.js";

/** The user that the server runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, in the order of /etc/group; duplicates are kept. */
  readonly groups: readonly number[];
  /** HOME; empty if /etc/passwd says so. */
  readonly home: string;
}

/** A user's entry in /etc/passwd; `login` is empty if there is none. */
interface Account extends Omit<User, "groups"> {
  readonly login: string;
}

/** A number as Go's strconv.Atoi() reads it. */
const INTEGER = /^[+-]?\d+$/;

/** The largest number that USER or GROUP can be: 2^31 - 1. */
const LARGEST_NUMBER = 2 ** 31 - 1;

/** The largest id that a process can have: 2^32 - 1 tells the kernel to leave an id as it is. */
const LARGEST_ID = 2 ** 32 - 2;

/**
 * Resolves `USER[:GROUP]`, names or numbers, with /etc/passwd and /etc/group below `root`, as gosu does:
 *
 * - A number is always an id, even if a user has it for a name. Without an entry in /etc/passwd its group is ours, and
 *   its HOME is `/`.
 * - An empty USER is the current user. An empty GROUP is the user's group and all supplementary ones; any other GROUP
 *   is the only one.
 *
 * Throws PortshimError `no-user` if gosu rejects the spec, and in three more cases: the spec is empty; it is not UTF-8
 * (two such names look the same in Node); the files give an id that a process cannot have. gosu reads a missing or
 * malformed id as 0, which is root, and the kernel cuts one that is too large to its lower 32 bits.
 *
 * Source: GetExecUser() in moby/sys/user, July 2026, which gosu calls. gosu up to 1.19 calls an older one, which
 * accepts a number out of range if it is in the files, and ignores what follows a second colon.
 */
export function resolveUser(spec: string, root = "/"): User {
  const failed = (why: string) => new PortshimError("no-user", `"${printable(spec)}": ${why}`);
  if (spec === "" || !isUtf8(spec)) throw failed(REASON.notUser);
  const [name = "", ...rest] = spec.split(":");
  const group = rest.join(":");
  const outOfRange = [name, group].find((part) => Number.isNaN(numberOf(part)));
  if (outOfRange !== undefined) throw failed(REASON.noId(outOfRange, LARGEST_NUMBER));

  const account = accountOf(name, root);
  if (account === undefined) throw failed(REASON.noSuchUser);
  const { login, uid, home } = account;
  const gid = group === "" ? account.gid : gidOf(group, root);
  if (gid === undefined) throw failed(REASON.noSuchGroup(group));
  const user: User = { uid, gid, groups: group === "" ? membershipsOf(login, root) : [], home };
  if ([uid, gid, ...user.groups].every((id) => id >= 0 && id <= LARGEST_ID)) return user;
  throw failed(REASON.invalidId);
}

function accountOf(name: string, root: string): Account | undefined {
  const wanted = name === "" ? (process.getuid?.() ?? 0) : numberOf(name);
  const account = lines(root, "etc/passwd")
    .map(([login = "", , uid, gid, , home = ""]) => ({ login, uid: idIn(uid), gid: idIn(gid), home }))
    .find(({ login, uid }) => (wanted === undefined ? login === name : uid === wanted));
  if (account !== undefined || wanted === undefined) return account;
  return { login: "", uid: wanted, gid: process.getgid?.() ?? 0, home: "/" };
}

function gidOf(group: string, root: string): number | undefined {
  return numberOf(group) ?? groups(root).find(({ title }) => title === group)?.gid;
}

function membershipsOf(login: string, root: string): number[] {
  if (login === "") return [];
  return groups(root)
    .filter(({ members }) => members.includes(login))
    .map(({ gid }) => gid);
}

function groups(root: string) {
  return lines(root, "etc/group")
    .filter(([title = ""]) => !title.startsWith("#"))
    .map(([title = "", , gid, members = ""]) => ({ title, gid: idIn(gid), members: members.split(",") }));
}

/** The fields of each line. Only /etc/group has comments: in /etc/passwd gosu reads `#` as part of the name. */
function lines(root: string, file: string): string[][] {
  return contentOf(join(root, file))
    .split("\n")
    .map(trimmed)
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}

/** Go's strings.TrimSpace(). By hand: a regular expression would take hours for a million blanks. */
function trimmed(line: string): string {
  let start = 0;
  let end = line.length;
  while (start < end && BLANK.test(line.charAt(start))) start++;
  while (end > start && BLANK.test(line.charAt(end - 1))) end--;
  return line.slice(start, end);
}

const BLANK = /\p{White_Space}/u;

/** An id from the files; NaN if it is missing or malformed. */
function idIn(field = ""): number {
  return INTEGER.test(field) ? Number(field) : Number.NaN;
}

/** USER or GROUP as an id; undefined: it is a name. NaN: a number out of range. */
function numberOf(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined;
  const number = Number(text);
  return number >= 0 && number <= LARGEST_NUMBER ? number : Number.NaN;
}
