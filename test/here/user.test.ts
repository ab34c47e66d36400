import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as assert from "uvu/assert";
import { PortshimError } from "../../shim/lib/error.js";
import { resolveUser, type User } from "../../shim/lib/here/user.js";
import { suite } from "../suite.js";
import { CASES, type Files } from "./user.cases.js";

const test = suite("user");
const real = suite("users as the real gosu resolves them", "root", "gosu");

const root = mkdtempSync(join(tmpdir(), "user-"));
process.on("exit", () => rmSync(root, { recursive: true }));

function plant(files: Files): void {
  rmSync(join(root, "etc"), { recursive: true, force: true });
  mkdirSync(join(root, "etc"));
  for (const [name, text] of Object.entries(files)) {
    if (text !== undefined) writeFileSync(join(root, "etc", name), text);
  }
}

/** undefined: rejected. */
function ours(spec: string): User | undefined {
  try {
    return resolveUser(spec, root);
  } catch (error) {
    if (error instanceof PortshimError && error.code === "no-user") return undefined;
    throw error;
  }
}

/** The ids of a process that gosu starts with our files in /etc; undefined: gosu rejects the spec. */
function gosus(spec: string): User | undefined {
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    [
      ...["--mount", "sh", "-c", 'mount --bind "$1" /etc && shift && exec gosu "$@"', "sh"],
      ...[join(root, "etc"), spec, "sh", "-c", 'cat /proc/self/status; echo "HOME=$HOME"'],
    ],
    { encoding: "utf8" },
  );
  if (status === 1 && stderr.startsWith("error: failed switching to ")) return undefined;
  assert.is(status, 0, stderr);
  const after = (label: string) => new RegExp(`^${label}(.*)$`, "m").exec(stdout)?.[1] ?? "";
  const numbers = (label: string) => (after(`${label}:`).match(/\d+/g) ?? []).map(Number);
  const [uid = -1] = numbers("Uid");
  const [gid = -1] = numbers("Gid");
  return { uid, gid, groups: numbers("Groups"), home: after("HOME=") };
}

/** Whether both are the same user, or both rejected; the kernel sorts groups. */
function same(one: User | undefined, other: User | undefined): boolean {
  const sorted = (user: User | undefined) => user && { ...user, groups: user.groups.toSorted((a, b) => a - b) };
  return isDeepStrictEqual(sorted(one), sorted(other));
}

for (const { promise, spec, files, expected, gosu } of CASES) {
  test(`${JSON.stringify(spec)}: ${promise}`, () => {
    plant(files);
    assert.equal(ours(spec), expected);
  });

  real(`gosu ${JSON.stringify(spec)}: ${promise}`, () => {
    plant(files);
    const theirs = gosus(spec);
    // A later gosu can agree with us where an older one does not.
    const older = gosu !== undefined && same(theirs, gosu.user);
    assert.ok(
      older || same(theirs, ours(spec)),
      `gosu: ${JSON.stringify(theirs)}, ours: ${JSON.stringify(ours(spec))}`,
    );
  });
}

test("says what is wrong with it", () => {
  plant({ passwd: "web:x:1234:100::/srv/web:\nbad:x:4294967296:0::/:\n", group: "users:x:100:\n" });
  const sentences: [spec: string, sentence: RegExp][] = [
    ["", /user "": that is not USER or USER:GROUP$/],
    ["bogus", /user "bogus": there is no such user in \/etc\/passwd$/],
    ["bo\x1b[1mgus\n", /user "bo \[1mgus": there is no such user/],
    ["web:bogus", /user "web:bogus": there is no group "bogus" in \/etc\/group$/],
    ["web:users:x", /there is no group "users:x" in/],
    ["-1", /-1 is not an id from 0 to 2147483647$/],
    ["web:2147483648", /user "web:2147483648": 2147483648 is not an id from 0 to 2147483647$/],
    ["bad", /user "bad": \/etc\/passwd or \/etc\/group has an invalid id$/],
  ];
  for (const [spec, sentence] of sentences) assert.throws(() => resolveUser(spec, root), sentence);
});

test("two names that are not UTF-8 are never mistaken for each other", () => {
  plant({ passwd: undefined, group: "" });
  writeFileSync(join(root, "etc/passwd"), Buffer.from("m\xfcller:x:5:100::/a:\n", "latin1"));
  assert.is(ours(Buffer.from("m\xf6ller", "latin1").toString()), undefined);
});

test("a FIFO in place of /etc/passwd does not block", () => {
  plant({ passwd: undefined, group: "" });
  assert.is(spawnSync("mkfifo", [join(root, "etc/passwd")]).status, 0);
  assert.equal(ours("5:6"), { uid: 5, gid: 6, groups: [], home: "/" });
});

test.run();
real.run();
