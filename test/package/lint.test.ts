import { spawnSync } from "node:child_process";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("lint", "shellcheck");

test("npm run lint finds nothing", () => {
  const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", "lint"], { cwd: ROOT, encoding: "utf8" });
  assert.is(status, 0, stdout + stderr);
});

test.run();
