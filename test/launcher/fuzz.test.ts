import { readdirSync, statSync } from "node:fs";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { CORPUS, Fuzzer, LONGEST } from "./fuzz.js";

const test = suite("the launcher, by libFuzzer (longer: npm run fuzz)", "clang");

/** Whatever it finds on a new path, every run tries these. */
const FIXED = 2026;

let fuzzer: Fuzzer;
test.before(() => {
  fuzzer = new Fuzzer();
});
test.after(() => fuzzer.close());

test("the corpus: no sanitizer, no assertion and no parser of the helper's objects", async () => {
  const { inputs, satisfied, faults } = await fuzzer.replay();
  assert.equal(faults, []);
  // Else they are no longer what they were collected for.
  assert.ok(inputs > 50 && satisfied > 10, `${inputs} inputs, ${satisfied} satisfied`);
});

for (const [what, seed] of [
  ["a fixed seed", FIXED],
  ["a new seed", Date.now() % 2 ** 31],
] as const) {
  test(`what is made from the corpus, by ${what}: SEED=${seed} npm run fuzz`, async () => {
    const { inputs, faults } = await fuzzer.fuzz(seed, 30_000, 4);
    assert.equal(faults, []);
    console.log(`${inputs} inputs`);
    assert.ok(inputs > 1000, `${inputs}`);
  });
}

test("the corpus is small", () => {
  const names = readdirSync(CORPUS);
  assert.ok(names.length <= 100, `${names.length}`);
  for (const name of names) assert.ok(statSync(`${CORPUS}/${name}`).size <= LONGEST, name);
});

test.run();
