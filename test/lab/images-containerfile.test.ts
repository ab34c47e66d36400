import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type ContextFile, folderFiles } from "../../images/lib/context.js";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";
import { type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, type Result, startLab } from "./lab.js";

const test = suite("the Containerfile", "lab", "nodes", "registry");

let lab: Lab;
let engine: Engine;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
});
test.after(() => lab.stop());

function podmanBuild(...options: string[]): Promise<Result> {
  const argv = ["podman", "build", "--isolation=chroot", "--build-arg=BASE=localhost/compiler:1", ...options];
  return lab.asUser([...argv, lab.repository], { timeout: 120_000 });
}

/** The packages that the Containerfile fetches, in a cache for npm, because there is no registry in the lab. */
function npmCache(): ContextFile[] {
  const cache = join(process.env.PORTSHIM_LAB_CACHE ?? join(homedir(), ".cache", "portshim-lab"), "npm");
  const folder = mkdtempSync(join(tmpdir(), "portshim-test-"));
  try {
    for (const name of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(ROOT, name), join(folder, name));
    const [, command = ""] =
      readFileSync(join(ROOT, "Containerfile"), "utf8").match(/^RUN (npm pkg [\s\S]*?[^\\])$/m) ?? [];
    const env = { ...process.env, npm_config_cache: cache, npm_config_prefer_offline: "true" };
    execFileSync("sh", ["-c", command], { cwd: folder, env, stdio: "pipe" });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return folderFiles(join(cache, "_cacache"), "cache/_cacache/");
}

test("podman build of a checkout ends in an image that holds portshim alone", async () => {
  const npm = join(execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim(), "npm");
  await engine.build(
    "localhost/compiler:1",
    `FROM ${NODE_IMAGE}
COPY npm /opt/npm
COPY cache /opt/cache
RUN ln -s /opt/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s /opt/npm/bin/npx-cli.js /usr/local/bin/npx
ENV npm_config_cache=/opt/cache npm_config_offline=true
`,
    [...folderFiles(npm, "npm/"), ...npmCache()],
  );
  // As from a fresh checkout: what git would not have is no part of it.
  const built = await podmanBuild("--tag=localhost/compiled:1");
  assert.is(built.status, 0, built.stderr);
  assert.is((await engine.layers("localhost/compiled:1")).length, 1);
  const { Size } = await engine.docker.getImage("localhost/compiled:1").inspect();
  assert.ok(Size < 200_000, `${Size} bytes`);
  await engine.images(["build", "layer"]);
  assert.equal(await engine.layers("localhost/portshim:latest"), await engine.layers("localhost/compiled:1"));
});

test("built again, it is the same layer", async () => {
  const again = await podmanBuild("--no-cache", "--tag=localhost/compiled:2");
  assert.is(again.status, 0, again.stderr);
  assert.equal(await engine.layers("localhost/compiled:2"), await engine.layers("localhost/compiled:1"));
});

test.run();
