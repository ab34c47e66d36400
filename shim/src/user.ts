import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PortshimError } from "./failure.js";
import { printable } from "./text.js";

/** Whom the server runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  readonly home: string;
}

/** The largest id that gosu takes: 2^31 - 1. */
const LARGEST_ID = 2 ** 31 - 1;

/**
 * Resolves `USER[:GROUP]`, names or numbers, with /etc/passwd and /etc/group below `root`, as gosu does: a number that
 * is nobody's is taken as it is, with our own group and `/` for HOME; with a GROUP there are no supplementary ones.
 *
 * Throws PortshimError `no-user`. Source: GetExecUser() in moby/sys/user, which gosu calls.
 */
export function resolveUser(spec: string, root = "/"): User {
  const [name = "", group, ...rest] = spec.split(":");
  if (name === "" || group === "" || rest.length > 0)
    throw new PortshimError("no-user", `"${printable(spec)}" is not USER or USER:GROUP`);
  const entry = records(root, "etc/passwd").find(([login, , uid]) => login === name || isId(name, uid));
  const uid = id(entry?.[2] ?? name);
  if (uid === undefined) throw new PortshimError("no-user", `there is no user "${printable(name)}" in /etc/passwd`);
  const own = id(entry?.[3] ?? "") ?? process.getgid?.() ?? 0;
  const home = entry?.[5] || "/";
  if (group === undefined) return { uid, gid: own, groups: memberships(root, entry?.[0]), home };
  const gid = id(
    records(root, "etc/group").find(([title, , number]) => title === group || isId(group, number))?.[2] ?? group,
  );
  if (gid === undefined) throw new PortshimError("no-user", `there is no group "${printable(group)}" in /etc/group`);
  return { uid, gid, groups: [], home };
}

function memberships(root: string, login: string | undefined): number[] {
  if (login === undefined) return [];
  return records(root, "etc/group").flatMap(([, , number = "", members = ""]) => {
    const gid = id(number);
    return gid !== undefined && members.split(",").includes(login) ? [gid] : [];
  });
}

function records(root: string, file: string): string[][] {
  try {
    const lines = readFileSync(join(root, file), "utf8").split("\n");
    return lines.filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.split(":"));
  } catch {
    return [];
  }
}

function isId(wanted: string, number: string | undefined): boolean {
  return id(wanted) !== undefined && id(wanted) === id(number ?? "");
}

function id(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= LARGEST_ID ? number : undefined;
}
