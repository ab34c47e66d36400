import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { VERSION } from "../shim/lib/version.js";
import { NODE_VERSIONS, node, ROOT } from "./need.js";
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

test("what npm packs of the shim is below 60 kB and holds the stub, its helper and the library", () => {
  const { status, stdout } = spawnSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: join(ROOT, "shim"),
    encoding: "utf8",
  });
  assert.is(status, 0);
  const packed = JSON.parse(stdout);
  const { size, files } = Array.isArray(packed) ? packed[0] : packed.portshim;
  assert.ok(size < 60_000, `${size} bytes`);
  const paths = files.map(({ path }: { path: string }) => path);
  for (const path of ["portshim", "slow.sh", "lib/main.js", "lib/index.js", "LICENSE", "package.json"])
    assert.ok(paths.includes(path), path);
  assert.not(paths.some((path: string) => path.endsWith(".tsbuildinfo")));
  // The declarations of what the library is made of would need Node's own types.
  const declarations = paths.filter((path: string) => path.endsWith(".ts")).sort();
  assert.equal(declarations, ["types/contract.d.ts", "types/failure.d.ts", "types/index.d.ts"]);
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

const library = suite("package, installed as a dependency", "nodes");

/** A folder with a package in which the packed portshim is installed, and nothing else. */
let dependent: string;

library.before(() => {
  dependent = mkdtempSync(join(tmpdir(), "portshim-dependent-"));
  const pack = ["pack", "--silent", "--pack-destination", dependent];
  const packed = spawnSync("npm", pack, { cwd: join(ROOT, "shim"), encoding: "utf8" });
  writeFileSync(join(dependent, "package.json"), '{ "private": true }');
  const install = ["install", "--offline", "--no-audit", "--no-fund", `./${packed.stdout.trim()}`];
  const installed = spawnSync("npm", install, { cwd: dependent, encoding: "utf8" });
  assert.is(installed.status, 0, installed.stderr);
});
library.after(() => rmSync(dependent, { recursive: true }));

for (const version of NODE_VERSIONS) {
  library(`require() and import give the same on Node ${version}`, () => {
    writeFileSync(
      join(dependent, "both.mjs"),
      `import { createRequire } from "node:module";
      import { ensurePorts, PortshimError } from "portshim";
      const required = createRequire(import.meta.url)("portshim");
      const error = await ensurePorts({ start: "80" }).catch((error) => error);
      console.log(
        Object.keys(required).sort().join(),
        [ensurePorts === required.ensurePorts, PortshimError === required.PortshimError, error instanceof PortshimError],
        error.message,
      );`,
    );
    const { stdout, stderr } = spawnSync(node(version), ["both.mjs"], { cwd: dependent, encoding: "utf8" });
    const sentence = 'start must be an integer from 0 to 1024, not "80"';
    assert.equal([stdout, stderr], [`PortshimError,ensurePorts [ true, true, true ] ${sentence}\n`, ""]);
  });
}

library("deep imports that portshim-images uses resolve", () => {
  const paths = ["portshim/package.json", "portshim/lib/text.js", "portshim/lib/sysctl.js"];
  const source = `for (const path of ${JSON.stringify(paths)}) require(path)`;
  assert.is(spawnSync(process.execPath, ["-e", source], { cwd: dependent }).status, 0);
});

/** What the compiler finds in a program that uses portshim, with no other types than the language's own. */
function compile(resolution: "nodenext" | "bundler", lib: readonly string[], ...sources: string[]): string {
  const folder = mkdtempSync(join(dependent, "compile-"));
  sources.forEach((source, index) => {
    writeFileSync(join(folder, `${index}.mts`), source);
  });
  // What CommonJS programs see is another question with nodenext alone.
  if (resolution === "nodenext") writeFileSync(join(folder, "required.cts"), `${sources[0]}`);
  const module = resolution === "nodenext" ? "nodenext" : "esnext";
  const compilerOptions = {
    ...{ module, moduleResolution: resolution, target: "es2022", lib, types: [], strict: true, noEmit: true },
    ...{ exactOptionalPropertyTypes: true, skipLibCheck: false },
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["."] }));
  const compiler = join(ROOT, "node_modules", ".bin", "tsc");
  return spawnSync(compiler, ["--project", folder], { cwd: dependent, encoding: "utf8" }).stdout;
}

const RIGHT = `
  import { ensurePorts, PortshimError } from "portshim";
  import type { Done, EnsureOptions, FailureCode, Level, Log, RouteName } from "portshim";
  const lines: [Level, string][] = [];
  const logger: Log = (level, message) => lines.push([level, message]);
  const options: EnsureOptions = { start: 80, via: ["write"], timeout: 5, logger, signal: undefined };
  export async function start(): Promise<Done | FailureCode | "stopped"> {
    try {
      const route: RouteName | "already" = await ensurePorts(options);
      return route;
    } catch (error) {
      if (!(error instanceof PortshimError)) return "stopped";
      const said: string = error.message + error.remedy;
      return said === "" || error.isRefusal || error.code === "no-way" ? "stopped" : error.code;
    }
  }
  ensurePorts();
`;
const ABORTABLE = 'import { ensurePorts } from "portshim"; ensurePorts({ signal: AbortSignal.timeout(5) });';

for (const resolution of ["nodenext", "bundler"] as const) {
  library(`a right program compiles with ${resolution}, without Node's types and with the DOM's`, () => {
    assert.is(compile(resolution, ["es2022"], RIGHT), "");
    assert.is(compile(resolution, ["es2022", "dom"], RIGHT, ABORTABLE), "");
  });

  for (const wrong of ["{ strat: 80 }", '{ start: "80" }', "{ signal: 7 }", "{ logger: (level: number) => {} }"]) {
    library(`ensurePorts(${wrong}) does not compile with ${resolution}`, () => {
      const source = `import { ensurePorts } from "portshim"; ensurePorts(${wrong});`;
      assert.match(compile(resolution, ["es2022", "dom"], source), /^\S+\.mts\(1,\d+\): error TS2\d+: .*\n/);
    });
  }
}

library("every public name has a doc comment", () => {
  const names: string[] = [];
  for (const file of ["index", "contract", "failure"]) {
    const text = readFileSync(join(dependent, "node_modules", "portshim", "types", `${file}.d.ts`), "utf8");
    let before = "";
    let inside = false;
    for (const line of text.split("\n")) {
      const [, name] = /^export (?:declare )?(?:function|class|interface|type|const) (\w+)/.exec(line) ?? [];
      const [, member] = (inside && /^ {4}(?:readonly |get )?(\w+)\??(?:[:(]| =)/.exec(line)) || [];
      if (name !== undefined) inside = line.endsWith("{");
      else if (line === "}") inside = false;
      const found = name ?? member;
      if (found !== undefined) {
        names.push(found);
        assert.match(before, /\*\/$/, `${file}.d.ts: ${found} has no doc comment`);
      }
      before = line;
    }
  }
  const own = ["Done", "EnsureOptions", "FailureCode", "Level", "Log", "PortshimError", "RouteName", "ensurePorts"];
  const options = ["start", "via", "timeout", "signal", "logger"];
  const failure = ["name", "code", "remedy", "constructor", "isRefusal"];
  assert.equal(names.sort(), [...own, ...options, ...failure].sort());
});

test("the lock file holds no download addresses", () => {
  assert.not.match(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved": "[^"]*:/);
});

test.run();
library.run();
