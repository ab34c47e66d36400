import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { page } from "../page.js";
import { suite } from "../suite.js";

const test = suite("docs/security.md, promises");

const PAGE = page("security.md");
const FLAT = PAGE.replace(/\s+/g, " ");

/** Names of tests, and the file that has them: `"name" and "name", `test/file``. */
const CITED = /((?:"[^"]+",? (?:and |in )?)+)`(test\/[^`]+)`/g;

test("each test that it names is there", () => {
  const citations = [...FLAT.matchAll(CITED)].map(([, names = "", file = ""]) => ({
    file,
    names: [...names.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => name),
  }));
  // None is without a name.
  assert.is(citations.length, FLAT.match(/`test\//g)?.length);
  assert.ok(citations.length > 20);
  for (const { file, names } of citations) {
    const path = join(ROOT, file);
    assert.ok(existsSync(path), file);
    const source = readFileSync(path, "utf8");
    for (const name of names) assert.ok(source.includes(`"${name}"`), `${file}: ${name}`);
  }
});

test("no promise of a list is without one", () => {
  const items = PAGE.split(/^(?=- )/m)
    .slice(1)
    .map((text) => text.split(/\n\n/)[0] ?? "");
  assert.ok(items.length > 15);
  assert.equal(
    items.filter((item) => !item.includes("`test/")),
    [],
  );
});

test.run();
