import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { machine, tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { VERSION } from "../../shim/lib/cli/version.js";
import { ELF_AARCH64, ELF_X86_64, elfMachine } from "../elf.js";
import { NODE_VERSIONS, node, ROOT, which } from "../need.js";
import { suite } from "../suite.js";

const test = suite("package");
// It compiles for two architectures.
const packing = suite("package, packed", "qemu");

const manifest = JSON.parse(readFileSync(join(ROOT, "shim", "package.json"), "utf8"));

test("the shim's version is the one it prints", () => assert.is(manifest.version, VERSION));

test("the shim has no runtime dependency", () => {
  const fields = ["dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"];
  assert.equal(
    fields.filter((field) => field in manifest),
    [],
  );
});

test("npm install is light: the tests' Nodes come with npm test", () => {
  const { stdout } = spawnSync("du", ["-sm", "node_modules"], { cwd: ROOT, encoding: "utf8" });
  const megabytes = Number.parseInt(stdout, 10);
  assert.ok(megabytes > 50 && megabytes <= 260, stdout);
});

packing("what npm packs of the shim: dispatcher, two launchers, helper, library, manual and completions", () => {
  const { status, stdout } = spawnSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: join(ROOT, "shim"),
    encoding: "utf8",
  });
  assert.is(status, 0);
  const packed = JSON.parse(stdout);
  const { size, files }: { size: number; files: { path: string; size: number; mode: number }[] } = Array.isArray(packed)
    ? packed[0]
    : packed.portshim;
  // The launchers, of which each machine needs one, are 72 kB of it; a package for each would be three to publish.
  assert.ok(size < 125_000, `${size} bytes`);
  const paths = files.map(({ path }) => path);
  for (const path of ["portshim", "lib/main.js", "lib/library/index.js", "LICENSE", "package.json"])
    assert.ok(paths.includes(path), path);
  assert.not(paths.some((path) => path.endsWith(".tsbuildinfo")));
  assert.equal(
    paths.filter((path) => path.startsWith("share/man/")),
    [...manifest.man].sort(),
  );
  assert.is(paths.filter((path) => path.startsWith("share/")).length, manifest.man.length + 3);
  const launchers = files.filter(({ path }) => path.startsWith("launcher/"));
  assert.equal(
    launchers.map(({ path, mode }) => [path, mode & 0o777]),
    [
      ["launcher/portshim-aarch64", 0o755],
      ["launcher/portshim-x86_64", 0o755],
    ],
  );
  for (const { path, size } of launchers) assert.ok(size <= 100_000, `${path}: ${size} bytes`);
  // The declarations of the library's inner modules would need Node's types.
  const declarations = paths.filter((path) => path.endsWith(".ts")).sort();
  assert.equal(declarations, ["types/contract.d.ts", "types/error.d.ts", "types/library/index.d.ts"]);
});

/** A folder with a copy of the checkout, its helper compiled, and no launcher built. */
function checkout(): string {
  const folder = mkdtempSync(join(tmpdir(), "portshim-checkout-"));
  for (const path of ["package.json", "images/package.json", "LICENSE", ".npmrc", "shim"]) {
    // So that build.sh does not fetch again what it has fetched for another architecture.
    const isBuilt = (source: string) => /\/launcher\/(portshim-|\.build-)/.test(source);
    cpSync(join(ROOT, path), join(folder, path), { recursive: true, filter: (source) => !isBuilt(source) });
  }
  return folder;
}

packing("npm pack builds both launchers", () => {
  const folder = checkout();
  try {
    const argv = ["pack", "--silent", "--workspace=portshim", `--pack-destination=${folder}`];
    const { status, stdout, stderr } = spawnSync("npm", argv, { cwd: folder, encoding: "utf8" });
    assert.is(status, 0, stderr);
    spawnSync("tar", ["-xzf", stdout.trim()], { cwd: folder });
    for (const [name, elf] of [
      ["x86_64", ELF_X86_64],
      ["aarch64", ELF_AARCH64],
    ] as const) {
      const launcher = readFileSync(join(folder, "package", "launcher", `portshim-${name}`));
      assert.is(elfMachine(launcher), elf);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

for (const [what, argv, remedy] of [
  ["C compiler", [], /^build\.sh: no musl-gcc here: install .*musl-tools \(Debian, Ubuntu\) .*\(Fedora\)\.\n$/],
  [
    "cross compiler",
    [machine() === "aarch64" ? "x86_64" : "aarch64"],
    /^build\.sh: no (\w+)-linux-gnu-gcc here: install gcc-[\w-]+-linux-gnu \(Debian, Ubuntu\)/,
  ],
] as const) {
  test(`without a ${what} the build names the package to install, with status 69`, () => {
    const folder = checkout();
    try {
      const launcher = join(folder, "shim", "launcher");
      const bin = join(folder, "bin");
      mkdirSync(bin);
      for (const program of ["dirname", "find", "mktemp", "readlink", "rm", "tr", "uname"]) {
        symlinkSync(which(program) as string, join(bin, program));
      }
      const before = readdirSync(launcher);
      const { status, stdout, stderr } = spawnSync(join(launcher, "build.sh"), argv, {
        encoding: "utf8",
        env: { PATH: bin },
      });
      assert.equal([status, stdout], [69, ""]);
      assert.match(stderr, remedy);
      assert.equal(readdirSync(launcher), before);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

const installed = suite("package, installed as a program", "namespaces", "qemu");

/** A folder in which the packed portshim is installed for all. */
let prefix: string;

installed.before(() => {
  prefix = mkdtempSync(join(tmpdir(), "portshim package "));
  const npm = (...argv: string[]) => spawnSync("npm", argv, { cwd: join(ROOT, "shim"), encoding: "utf8" });
  const { stdout } = npm("pack", "--silent", "--pack-destination", prefix);
  const install = ["install", "--global", "--prefix", prefix, "--offline", "--ignore-scripts"];
  const { status, stderr } = npm(...install, join(prefix, stdout.trim()));
  assert.is(status, 0, stderr);
});
installed.after(() => rmSync(prefix, { recursive: true }));

/** Runs portshim by the link that npm made, in a network namespace of its own. */
function run(argv: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const command = ["--user", "--map-current-user", "--net", join(prefix, "bin", "portshim"), ...argv];
  const { status, stdout, stderr } = spawnSync("/usr/bin/unshare", command, { encoding: "utf8", env });
  return { status, stdout, stderr };
}

installed("it starts a command, and finds its helper", () => {
  const started = { status: 7, stdout: "a b\n", stderr: "" };
  assert.equal(run(["--start=1024", "--", "sh", "-c", 'echo "$1"; exit 7', "sh", "a b"]), started);
  assert.equal(run(["--version"]), { status: 0, stdout: `portshim ${VERSION}\n`, stderr: "" });
});

installed("on a machine that there is no launcher for: one sentence, with status 69", () => {
  const folder = mkdtempSync(join(tmpdir(), "portshim-uname-"));
  // A stand-in for that of another machine.
  writeFileSync(join(folder, "uname"), "#!/bin/sh\necho riscv64\n", { mode: 0o755 });
  const { status, stdout, stderr } = run(["--", "true"], { PATH: `${folder}:${process.env.PATH}` });
  rmSync(folder, { recursive: true });
  const launcher = join(prefix, "lib", "node_modules", "portshim", "launcher", "portshim-riscv64");
  const said = `there is no ${launcher}: portshim is for x86_64 and aarch64 (in a checkout, after: npm run build)`;
  assert.equal([status, stdout, stderr], [69, "", `portshim: ${said}\n`]);
});

const library = suite("package, installed as a dependency", "nodes", "qemu");

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

library("what portshim-images uses resolves, and nothing below it", () => {
  const requires = (path: string) =>
    spawnSync(process.execPath, ["-e", `require("portshim/${path}")`], { cwd: dependent, encoding: "utf8" });
  for (const path of ["package.json", "internal"]) assert.is(requires(path).status, 0, path);
  assert.match(requires("lib/text.js").stderr, "ERR_PACKAGE_PATH_NOT_EXPORTED");
});

/** The compiler's errors in a program that uses portshim, without any types but the language's own. */
function compile(resolution: "nodenext" | "bundler", lib: readonly string[], ...sources: string[]): string {
  const folder = mkdtempSync(join(dependent, "compile-"));
  sources.forEach((source, index) => {
    writeFileSync(join(folder, `${index}.mts`), source);
  });
  // Only with nodenext do CommonJS programs resolve another file.
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
  for (const file of ["library/index", "contract", "error"]) {
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
packing.run();
installed.run();
library.run();
