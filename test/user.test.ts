import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { resolveUser } from "../shim/lib/user.js";
import { suite } from "./suite.js";

const test = suite("user");

const root = mkdtempSync(join(tmpdir(), "user-"));
mkdirSync(join(root, "etc"));
writeFileSync(
  join(root, "etc/passwd"),
  "root:x:0:0:root:/root:/bin/sh\n# a comment\nweb:x:1000:100::/srv/web:/bin/false\n77:x:1001:1001::/seven:\nbroken\n",
);
writeFileSync(
  join(root, "etc/group"),
  "root:x:0:\nusers:x:100:\nvideo:x:44:web,other\naudio:x:29:other\nplugdev:x:46:other,web\n",
);
test.after(() => rmSync(root, { recursive: true }));

// What gosu makes of each (its own table of user specs).
const ours = process.getgid?.() ?? 0;
const found: [spec: string, uid: number, gid: number, groups: number[], home: string][] = [
  ["root", 0, 0, [], "/root"],
  ["0", 0, 0, [], "/root"],
  ["web", 1000, 100, [44, 46], "/srv/web"],
  ["1000", 1000, 100, [44, 46], "/srv/web"],
  ["web:video", 1000, 44, [], "/srv/web"],
  ["web:29", 1000, 29, [], "/srv/web"],
  ["web:4711", 1000, 4711, [], "/srv/web"],
  ["4711", 4711, ours, [], "/"],
  ["4711:4712", 4711, 4712, [], "/"],
  ["4711:users", 4711, 100, [], "/"],
  ["77", 1001, 1001, [], "/seven"],
  ["2147483647", 2147483647, ours, [], "/"],
];
for (const [spec, uid, gid, groups, home] of found) {
  test(spec, () => assert.equal(resolveUser(spec, root), { uid, gid, groups, home }));
}

const refused: [spec: string, sentence: RegExp][] = [
  ["bogus", /there is no user "bogus" in \/etc\/passwd/],
  ["web:bogus", /there is no group "bogus" in \/etc\/group/],
  ["0:bogus", /there is no group "bogus"/],
  ["-1", /there is no user "-1"/],
  ["2147483648", /there is no user "2147483648"/],
  ["99999999999", /there is no user/],
  ["1000\n", /there is no user "1000"/],
  ["", /is not USER or USER:GROUP/],
  [":users", /is not USER or USER:GROUP/],
  ["web:", /is not USER or USER:GROUP/],
  ["web:users:x", /is not USER or USER:GROUP/],
];
for (const [spec, sentence] of refused) {
  test(`${JSON.stringify(spec)} is refused`, () => {
    assert.throws(() => resolveUser(spec, root), sentence);
  });
}

test("without /etc/passwd and /etc/group numbers still count", () => {
  assert.equal(resolveUser("5:6", "/nonexistent"), { uid: 5, gid: 6, groups: [], home: "/" });
  assert.throws(() => resolveUser("web", "/nonexistent"), /there is no user "web"/);
});

test.run();
