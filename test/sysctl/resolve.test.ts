import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SETTING } from "../../shim/lib/here/threshold.js";
import { type Assignment, resolve } from "../../shim/lib/sysctl/resolve.js";
import { CASES } from "./resolve.cases.js";
import { plant } from "./tree.js";

const test = suite("sysctl");

let root: string;

test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), "sysctl-"));
});

test.after.each(() => {
  rmSync(root, { recursive: true });
});

const place = ({ file, line }: Assignment) => `${file.slice(root.length + 1)}:${line}`;

for (const [about, cases] of Object.entries(CASES)) {
  for (const { name, tree, declared, invalid = [] } of cases) {
    test(`${about}: ${name}`, () => {
      plant(tree, root);
      const found = resolve(root);
      assert.equal(found.declared && [found.declared.value, place(found.declared)], declared);
      assert.equal(found.invalid.map(place), invalid);
    });
  }
}

test("invalid values are quoted as they were written", () => {
  plant([{ path: "etc/sysctl.d/web.conf", pieces: [`${SETTING} =\t\xd9\xa8\xd9\xa0 \n`] }], root);
  assert.is(resolve(root).invalid[0]?.text, "٨٠");
});

test("a FIFO is skipped, and does not block", () => {
  plant([{ path: "etc/sysctl.d/10.conf", pieces: [`${SETTING} = 80\n`] }], root);
  assert.is(spawnSync("mkfifo", [join(root, "etc/sysctl.d/20.conf")]).status, 0);
  assert.is(resolve(root).declared?.value, 80);
});

test("a root that does not exist declares nothing", () => {
  assert.equal(resolve(join(root, "nowhere")), { declared: undefined, invalid: [] });
});

test.run();
