import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { VERSION } from "../shim/lib/version.js";
import { ROOT } from "./need.js";
import { suite } from "./suite.js";

const test = suite("package");

const manifest = JSON.parse(readFileSync(join(ROOT, "shim", "package.json"), "utf8"));

test("the shim's version is the one it prints", () => assert.is(manifest.version, VERSION));

test("the shim has no runtime dependency", () => {
  const fields = ["dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"];
  assert.equal(
    fields.filter((field) => field in manifest),
    [],
  );
});

test("what npm packs of the shim is below 60 kB and holds the stub and its helper", () => {
  const { status, stdout } = spawnSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: join(ROOT, "shim"),
    encoding: "utf8",
  });
  assert.is(status, 0);
  const packed = JSON.parse(stdout);
  const { size, files } = Array.isArray(packed) ? packed[0] : packed.portshim;
  assert.ok(size < 60_000, `${size} bytes`);
  const paths = files.map(({ path }: { path: string }) => path);
  for (const path of ["portshim", "lib/main.js", "LICENSE", "package.json"]) assert.ok(paths.includes(path), path);
  assert.not(paths.some((path: string) => /\.(ts|tsbuildinfo)$/.test(path)));
});

test("the lock file holds no download addresses", () => {
  assert.not.match(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved": "[^"]*:/);
});

test.run();
