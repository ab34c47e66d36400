import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as assert from "uvu/assert";
import { PATH_WITHOUT_NODE } from "../namespace.js";
import { PORTSHIM as BUILT, ROOT } from "../need.js";
import { suite } from "../suite.js";
import { EVERYTHING, PROPERTIES, SITUATIONS, same } from "./property.js";
import { all, during, mistakes, STOPPING, type Start, start, wrongEnd } from "./signal.js";
import { newPath, PLACE, prepare, type Step, signalNumber } from "./starter.js";

const test = suite("sanitizers", "root", "tools", "compiler", "nodes");

const SOURCES = ["launcher.c", "satisfied.c"].map((name) => join(ROOT, "shim", "launcher", name));
const WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"];
const SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/** With the layout of the npm package, so that it and the helper find each other. */
const SANITIZED = join(PLACE, "sanitized", "launcher", basename(BUILT));
const REPORTS = join(PLACE, "reports");

/**
 * Options compiled into the program, because the tests compare the environment; the runtime leaves signals and limits
 * alone. gcc's UBSan cannot report to a file: it ends the program with 1, which no test here expects.
 */
const RUNTIME = `const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "log_path=${REPORTS}/address:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:disable_coredump=0";
}
`;

function compile(program: string, ...sources: string[]): void {
  execFileSync("gcc", [...WARNINGS, ...SANITIZERS, "-o", program, join(PLACE, "runtime.c"), ...sources]);
}

test.before(() => {
  prepare();
  mkdirSync(REPORTS);
  chmodSync(REPORTS, 0o777);
  mkdirSync(join(SANITIZED, ".."), { recursive: true });
  cpSync(join(PLACE, "shim", "lib"), join(PLACE, "sanitized", "lib"), { recursive: true });
  writeFileSync(join(PLACE, "runtime.c"), RUNTIME);
  compile(SANITIZED, ...SOURCES);
});

const reports = () => readdirSync(REPORTS).map((name) => readFileSync(join(REPORTS, name), "utf8"));

/** Fails if a sanitizer has reported something. */
const clean = () => assert.equal(reports(), []);

test("a fault would be reported", () => {
  const faulty = (line: string) => {
    const source = join(PLACE, "fault.c");
    writeFileSync(source, `#include <stdlib.h>\nint main(int argc, char **argv)\n{\n\t(void)argv;\n\t${line}\n}\n`);
    compile(join(PLACE, "fault"), source);
    const { status, stderr } = spawnSync(join(PLACE, "fault"), { encoding: "utf8" });
    return { status, report: [stderr, ...reports()].join("") };
  };
  const undefinedBehaviour = faulty("return argc << (argc + 31);");
  assert.is(undefinedBehaviour.status, 1);
  assert.match(undefinedBehaviour.report, /shift exponent 32/);
  assert.match(faulty("char *volatile bytes = malloc(1); return bytes[argc];").report, /heap-buffer-overflow/);
  for (const name of readdirSync(REPORTS)) rmSync(join(REPORTS, name));
});

/** The properties that the launcher handles; the kernel alone preserves the others. */
const TELLING = /everything|argument|variable|environment|descriptors|signal|CHLD|child|user|terminal|nohup/;

for (const [name, property] of Object.entries({ ...PROPERTIES, "everything at once": EVERYTHING })) {
  if (!TELLING.test(name)) continue;
  test(`sanitized: ${name}`, async () => {
    await same(
      property,
      SITUATIONS.map((situation) => ({ ...situation, portshim: [SANITIZED] })),
    );
    clean();
  });
}

test("stops, as process 1, too", async () => {
  const cases = [false, true].flatMap((first) => STOPPING.map((signal) => ({ first, signal })));
  await all(cases, async ({ first, signal }) => {
    const ending = first ? { exit: 128 + signal } : { signal };
    return mistakes(await during({ portshim: [SANITIZED], first, signals: [signal] }), ending);
  });
  clean();
});

test("a window's size, a helper that is halted, and one that is killed", async () => {
  const portshim = [SANITIZED];
  const [TERM, WINCH] = [signalNumber("TERM"), signalNumber("WINCH")];
  const halted = { announce: 'kill -s STOP "$PPID"; echo held' };
  const killed = { script: 'kill -s KILL "$PPID"; exec sleep 1000' };
  const resized = { script: "kill -s WINCH 2; kill -s TERM 2; exec sleep 1000" };
  assert.is(mistakes(await during({ portshim, signals: [WINCH] }), { exit: 128 + WINCH }), "");
  assert.is(mistakes(await during({ portshim, bridge: resized, steps: [["terminal"]] }), { signal: TERM }), "");
  assert.is(mistakes(await during({ portshim, bridge: halted, signals: [TERM] }), { signal: TERM }), "");
  assert.is(mistakes(await during({ portshim, bridge: killed }), { exit: 69 }), "");
  clean();
});

test("every status", async () => {
  const command = ["exit", "7"];
  const refused = { script: "echo not authorized >&2; exit 127" };
  const cases: (Start & { exit: number })[] = [
    { exit: 7, threshold: 1024 },
    { exit: 7, flags: ["--start", "80", "--timeout=5", "--optional", "--quiet"] },
    { exit: 7, threshold: 1024, flags: ["--user=65534:65534"] },
    { exit: 7, threshold: 1024, flags: ["--user=root"] },
    { exit: 64, flags: ["--frob"] },
    { exit: 64, flags: ["--start"] },
    { exit: 64, flags: ["--start=99999999999999999999"] },
    { exit: 64, flags: [""] },
    { exit: 64, flags: ["--user=nobody-has-this-name"] },
    { exit: 69, threshold: 1024, path: PATH_WITHOUT_NODE },
    { exit: 7, threshold: 1024, path: PATH_WITHOUT_NODE, flags: ["--optional"] },
    { exit: 69, threshold: 1024, path: PATH_WITHOUT_NODE, flags: ["--optional", "--user=65534"] },
    { exit: 0, flags: ["--help"] },
    { exit: 0, flags: ["--version"] },
  ];
  await all(cases, async ({ exit, ...options }) => {
    const result = await start(newPath(), { portshim: [SANITIZED], command, ...options });
    return wrongEnd(result, { exit }) && `${wrongEnd(result, { exit })}: ${result.stderr}`;
  });
  const portshim = [SANITIZED];
  assert.is(mistakes(await during({ portshim, bridge: refused }), { exit: 77 }), "");
  assert.is(wrongEnd(await during({ portshim, command, bridge: refused, flags: ["--optional"] }), { exit: 7 }), "");
  clean();
});

test("arguments of all kinds, without a command behind them", () => {
  const run = (...argv: string[]) => spawnSync("unshare", ["--net", ...argv]).status;
  assert.is(run(SANITIZED, "--start=1024", "--", "/nonexistent\x1b[2J\x7f"), 127);
  assert.is(run(SANITIZED, "--start=1024", "--", "/etc"), 126);
  assert.is(run(SANITIZED, "--with-parent", "1", "true"), 70);
  assert.is(run(SANITIZED), 64);
  assert.is(run(SANITIZED, "--"), 64);
  assert.is(run(SANITIZED, "persist", "--help"), 0);
  assert.is(run(SANITIZED, "check", "--start=1024"), 0);
  clean();
});

test("drop-ins of every shape", async () => {
  const setting = "net.ipv4.ip_unprivileged_port_start";
  const shapes = [
    ...["", "\n", "=", "=\n=", "\r\r\n", "#", " \t ", "-", "*", "[", "{}", "\\", `${setting}`, `${setting}=`],
    ...[`${setting}=80`, `-${setting} = 80 \n`, `${setting}=99999999999999999999`, "net.ipv4.*=80", "*start = 80\r"],
    ...["x".repeat(65_534), "x".repeat(65_535), "x".repeat(65_536), "x".repeat(70_000), `${"=".repeat(65_535)}`],
  ];
  await all(shapes, async (text) => {
    const steps: Step[] = [
      ["make", `/etc/sysctl.d/${"n".repeat(250)}.conf`, text],
      ["make", "/etc/sysctl.d/.conf", text],
      ["make", "/run/host/etc/sysctl.d/a.conf", text],
    ];
    const result = await start(newPath(), { portshim: [SANITIZED], command: ["exit", "7"], steps });
    return wrongEnd(result, { exit: 7 }) && result.stderr;
  });
  clean();
});

test("gcc's analyzer finds nothing", () => {
  for (const source of SOURCES) {
    for (const level of ["-O0", "-O2"]) {
      const run = spawnSync("gcc", [...WARNINGS, level, "-fanalyzer", "-c", "-o", "/dev/null", source], {
        encoding: "utf8",
      });
      assert.equal([run.status, run.stderr], [0, ""]);
    }
  }
});

test("it is short enough to read: at most 500 lines", () => {
  const lines = SOURCES.map((source) => readFileSync(source, "utf8").split("\n").length - 1);
  assert.ok(lines.reduce((sum, n) => sum + n) <= 500, `${lines}`);
});

test.run();
