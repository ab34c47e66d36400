import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("the helper's rooms");

const SOURCES = join(ROOT, "shim", "src");
const folders = readdirSync(SOURCES, { withFileTypes: true }).filter((entry) => entry.isDirectory());

/** In the order of docs/architecture.md: each imports only from those below it. */
const page = readFileSync(join(ROOT, "docs", "architecture.md"), "utf8");
const rooms = [...page.matchAll(/^\| `(\w+)\/` \|/gm)].map(([, name]) => name as string);

test("docs/architecture.md lists all of them", () => {
  assert.equal([...rooms].sort(), folders.map(({ name }) => name).sort());
});

for (const [index, room] of rooms.entries()) {
  test(`${room}/ uses only what is below it`, () => {
    let imports = 0;
    for (const file of readdirSync(join(SOURCES, room))) {
      const source = readFileSync(join(SOURCES, room, file), "utf8");
      for (const [, path = ""] of source.matchAll(/(?:from |require\(|import\()"(\.[^"]+)"/g)) {
        imports++;
        const [other = ""] = posix.join(room, path).split("/");
        assert.ok(!rooms.slice(0, index).includes(other), `${room}/${file} imports ${path}`);
      }
    }
    assert.ok(imports > 0 || room === "here", `${room}/ imports nothing`);
  });
}

test.run();
