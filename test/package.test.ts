import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
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
  for (const path of ["portshim", "slow.sh", "lib/main.js", "LICENSE", "package.json"])
    assert.ok(paths.includes(path), path);
  assert.not(paths.some((path: string) => /\.(ts|tsbuildinfo)$/.test(path)));
});

test("what npm installs works, from the first start to the last", () => {
  const folder = mkdtempSync(join(tmpdir(), "portshim-package-"));
  const npm = (...argv: string[]) => spawnSync("npm", argv, { cwd: join(ROOT, "shim"), encoding: "utf8" });
  const { stdout } = npm("pack", "--silent", "--pack-destination", folder);
  const installed = npm("install", "--global", "--prefix", folder, "--offline", join(folder, stdout.trim()));
  assert.is(installed.status, 0, installed.stderr);
  const {
    status,
    stdout: version,
    stderr,
  } = spawnSync(join(folder, "bin", "portshim"), ["--version"], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  assert.equal([status, version, stderr], [0, `portshim ${VERSION}\n`, ""]);
});

test("the lock file holds no download addresses", () => {
  assert.not.match(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved": "[^"]*:/);
});

test.run();
