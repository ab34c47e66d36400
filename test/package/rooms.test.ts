import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("the helper's rooms");

const SOURCES = join(ROOT, "shim", "src");
const folders = readdirSync(SOURCES, { withFileTypes: true }).filter((entry) => entry.isDirectory());

/** Used by every room, as docs/architecture.md says: what is said where something fails, or is decided. */
const EVERYWHERE = ["report/failure.js", "report/reason.js"];

/** In the order of docs/architecture.md: each imports only from those below it. */
const page = readFileSync(join(ROOT, "docs", "architecture.md"), "utf8");
const rooms = [...page.matchAll(/^\| `(\w+)\/` \|/gm)].map(([, name]) => name as string);

test("docs/architecture.md lists all of them", () => {
  assert.equal([...rooms].sort(), folders.map(({ name }) => name).sort());
});

/** What a file imports of ours, as paths below `shim/src`. */
function importsOf(room: string, file: string): string[] {
  const source = readFileSync(join(SOURCES, room, file), "utf8");
  return [...source.matchAll(/(?:from |require\(|import\()"(\.[^"]+)"/g)].map(([, path = ""]) =>
    posix.join(room, path),
  );
}

for (const path of EVERYWHERE) {
  test(`${path} uses only the threshold's names and the ground`, () => {
    const [room = "", file = ""] = path.replace(".js", ".ts").split("/");
    const imports = importsOf(room, file);
    assert.ok(imports.length > 0);
    assert.equal(
      imports.filter((other) => other.includes("/") && other !== "here/threshold.js"),
      [],
    );
  });
}

for (const [index, room] of rooms.entries()) {
  test(`${room}/ uses only what is below it`, () => {
    let imports = 0;
    for (const file of readdirSync(join(SOURCES, room))) {
      for (const path of importsOf(room, file)) {
        imports++;
        const [other = ""] = path.split("/");
        const isBelow = !rooms.slice(0, index).includes(other);
        assert.ok(isBelow || EVERYWHERE.includes(path), `${room}/${file} imports ${path}`);
      }
    }
    assert.ok(imports > 0 || room === "here", `${room}/ imports nothing`);
  });
}

test.run();
