import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("docs/places.md");

test("each row is the name of a test in the lab", () => {
  const table = readFileSync(join(ROOT, "docs", "places.md"), "utf8");
  const lab = join(ROOT, "test", "lab");
  const files = readdirSync(lab).filter((name) => name.endsWith(".test.ts"));
  const tests = files.map((name) => readFileSync(join(lab, name), "utf8")).join("");
  const rows = [...table.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm)].slice(1);
  assert.ok(rows.length >= 40);
  for (const [, where, route] of rows) assert.ok(tests.includes(`"${where}: ${route}"`), `${where}: ${route}`);
});

test.run();
