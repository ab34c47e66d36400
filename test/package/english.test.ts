import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("English");

/** What was said once and is said better now: by what? */
const BETTER: readonly [said: RegExp, better: string][] = [
  [/\bmay (not )?(be bound|bind)\b/, "can be bound, can bind"],
  [/\bcounts as\b/, "is"],
  [/\btakes it that\b/, "assumes that"],
  [/\ba nuisance\b/, "a problem"],
  [/\bnobody's\b/, "unassigned"],
  [/\bno good\b/, "invalid"],
  [/\b(value|file|command) of the host's\b/, "the host's value"],
  [/\b(the host|it|machine) restarts\b/, "reboots"],
  [/\brefused to set\b/, "permission denied"],
  [/\bcannot be lowered\b/, "cannot lower"],
  [/\bAbout to\b/, "what it does now: Running, Writing"],
];

/** The files that hold a sentence for a person. */
function* sources(): Generator<string> {
  for (const folder of ["shim/src", "images/src", "docs/manual/src", "docs"]) {
    for (const file of readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }))
      if (/\.(ts|md|json)$/.test(file)) yield join(folder, file);
  }
  yield* ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "shim/README.md", "images/README.md"];
  yield* [
    "examples/README.md",
    "shim/launcher/launcher.c",
    "shim/launcher/satisfied.c",
    "shim/launcher/build.sh",
    "shim/portshim",
  ];
}

for (const [said, better] of BETTER) {
  test(`${better}, not ${said.source}`, () => {
    for (const file of sources()) {
      const lines = readFileSync(join(ROOT, file), "utf8").split("\n");
      const at = lines.findIndex((line) => said.test(line));
      assert.is(at, -1, `${file}:${at + 1}: ${lines[at]}`);
    }
  });
}

test.run();
