import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { inNamespace, PATH_WITHOUT_NODE, pathWith, SHELLS } from "./namespace.js";
import { node, STUB } from "./need.js";
import { suite } from "./suite.js";

const test = suite("stub", "root", "shells", "nodes");

const BY_HAND = "Run this on the host, then start again:\n    sudo sysctl -w net.ipv4.ip_unprivileged_port_start";
const directory = mkdtempSync(join(tmpdir(), "portshim-stub-"));
test.after(() => rmSync(directory, { recursive: true }));

/** An empty sysctl.d tree would need a mount; --start makes the test independent of this machine's files. */
const START = "--start=80";

for (const [name, shell] of Object.entries(SHELLS)) {
  const portshim = [...shell, STUB];
  const started = ["--", "/bin/sh", "-c", "echo started"];

  test(`${name}: nothing to do: no Node, not a byte, the command's own status`, () => {
    const run = inNamespace([...portshim, START, "--", "/bin/sh", "-c", "exit 7"], {
      threshold: 80,
      env: { PATH: PATH_WITHOUT_NODE },
    });
    assert.equal([run.status, run.stdout, run.stderr], [7, "", ""]);
  });

  test(`${name}: what may be written is written, then the command starts`, () => {
    const run = inNamespace([...portshim, START, ...started], { threshold: 1024 });
    assert.equal([run.status, run.stdout, run.threshold], [0, "started\n", 80]);
    assert.match(run.stderr, /^portshim: --start asks for ports from 80 up, but here .* 1024 up/);
    assert.match(
      run.stderr,
      /\nportshim: Done: ports from 80 up may be bound until .*\n {4}(echo net|portshim persist)/,
    );
  });

  test(`${name}: --quiet says nothing of what went well`, () => {
    for (const [flags, env] of [
      [["--quiet"], {}],
      [[], { PORTSHIM_QUIET: "1" }],
    ] as const) {
      const run = inNamespace([...portshim, START, ...flags, ...started], {
        threshold: 1024,
        env: { PATH: pathWith(26), ...env },
      });
      assert.equal([run.status, run.stdout, run.stderr, run.threshold], [0, "started\n", "", 80]);
    }
  });

  test(`${name}: --verbose says what was found, even where nothing has to be done`, () => {
    const run = inNamespace([...portshim, START, "--verbose", ...started], { threshold: 80 });
    assert.is(run.stdout, "started\n");
    assert.match(run.stderr, /place: .*\nthreshold: 80, wanted: 80 \(--start\)\nbridge: /);
  });

  test(`${name}: --dry-run changes and starts nothing`, () => {
    const run = inNamespace([...portshim, START, "--dry-run", ...started], { threshold: 1024 });
    assert.equal([run.status, run.stderr, run.threshold], [0, "", 1024]);
    assert.match(run.stdout, /yes {2}write: we may write[\s\S]*Would take the route write\.\n$/);
  });

  test(`${name}: --dry-run where there is no way`, () => {
    const run = inNamespace([...portshim, START, "--dry-run", "--via=write"], { threshold: 1024, ordinary: true });
    assert.equal([run.status, run.threshold], [125, 1024]);
    assert.match(run.stdout, /No route can be taken\.\n[\s\S]*sudo sysctl -w/);
  });

  test(`${name}: --help and --version speak on stdout and end well`, () => {
    const help = inNamespace([...portshim, "--help"], { threshold: 80 });
    assert.equal([help.status, help.stderr], [0, ""]);
    assert.match(help.stdout, /^Usage: portshim \[options\] -- command/);
    const version = inNamespace([...portshim, "--version"], { threshold: 80 });
    assert.equal([version.status, version.stderr], [0, ""]);
    assert.match(version.stdout, /^portshim \d+\.\d+\.\d+\n$/);
  });

  const misuse: [argv: string[], sentence: RegExp][] = [
    [[], /no command to start/],
    [["--"], /no command after --/],
    [["--", ""], /no command after --/],
    [["--", "-c", "x"], /must not start with a dash: "-c"/],
    [["--frob", ...started], /unknown option "--frob"/],
    [["--start"], /--start needs a value/],
    [["--start", ...started], /--start needs a value/],
    [["--start=1025", ...started], /--start must be an integer from 0 to 1024/],
    [["--start=", ...started], /--start must be an integer from 0 to 1024/],
    [["--timeout=0", ...started], /--timeout must be an integer from 1 to 86400/],
    [["/bin/true"], /put -- before the command: portshim -- \/bin\/true/],
  ];
  for (const [argv, sentence] of misuse) {
    test(`${name}: ${JSON.stringify(argv)} is refused, whatever the threshold`, () => {
      for (const threshold of [0, 1024]) {
        const run = inNamespace([...portshim, ...argv], { threshold });
        assert.equal([run.status, run.stdout, run.threshold], [125, "", threshold]);
        assert.match(run.stderr, sentence);
        assert.match(run.stderr, /^portshim: .*\n$/, "one sentence");
      }
    });
  }

  test(`${name}: a wrong variable is refused, whatever the threshold`, () => {
    const wrong: NodeJS.ProcessEnv[] = [
      { PORTSHIM_START: "http" },
      { PORTSHIM_TIMEOUT: "-1" },
      { PORTSHIM_OPTIONAL: "yes" },
      { PORTSHIM_QUIET: "2" },
      { PORTSHIM_VIA: "pigeon" },
    ];
    for (const variables of wrong) {
      const run = inNamespace([...portshim, ...started], { threshold: 0, env: { PATH: pathWith(26), ...variables } });
      assert.equal([run.status, run.stdout], [125, ""], JSON.stringify(variables));
      assert.match(run.stderr, /^portshim: PORTSHIM_[A-Z]+ must be .*\n$/);
    }
  });

  test(`${name}: the command is not there, or cannot be executed`, () => {
    const missing = inNamespace([...portshim, START, "--", "/nonexistent"], { threshold: 80 });
    assert.is(missing.status, 127);
    assert.match(missing.stderr, /\/nonexistent/);
    const folder = inNamespace([...portshim, START, "--", "/etc"], { threshold: 80 });
    assert.is(folder.status, 126);
    assert.match(folder.stderr, /\/etc/);
  });

  test(`${name}: nobody is asked for a command that is not there`, () => {
    for (const command of ["chekc", "/nonexistent", "/bin/true/x"]) {
      const run = inNamespace([...portshim, START, "--", command], { threshold: 1024 });
      assert.equal([run.status, run.threshold, run.stderr], [127, 1024, `portshim: ${command}: not found\n`]);
    }
    // What can be seen and not executed is for the shell to refuse.
    const folder = inNamespace([...portshim, START, "--quiet", "--", "/etc"], { threshold: 1024 });
    assert.equal([folder.status, folder.threshold], [126, 80]);
  });

  test(`${name}: what asked is named: a variable`, () => {
    const env = { PATH: pathWith(26), PORTSHIM_START: "80" };
    const run = inNamespace([...portshim, ...started], { threshold: 1024, env });
    assert.match(run.stderr, /^portshim: PORTSHIM_START asks for ports from 80 up, but here /);
  });

  test(`${name}: no Node: one clear sentence, 125, and with --optional the command`, () => {
    const env = { PATH: PATH_WITHOUT_NODE };
    const run = inNamespace([...portshim, "--start=443", ...started], { threshold: 1024, env });
    assert.equal([run.status, run.stdout, run.threshold], [125, "", 1024]);
    assert.is(
      run.stderr,
      `portshim: there is no Node.js here, and portshim needs version 20 or later to ask the host. ${BY_HAND}=443\n`,
    );
    for (const optional of [{ flags: ["--optional"] }, { variables: { PORTSHIM_OPTIONAL: "1" } }]) {
      const all = { ...env, ...optional.variables };
      const same = inNamespace([...portshim, ...(optional.flags ?? []), START, ...started], {
        threshold: 1024,
        env: all,
      });
      assert.equal([same.status, same.stdout], [0, "started\n"]);
      assert.match(same.stderr, /\nportshim: Starting the command all the same, because of --optional\.\n$/);
    }
  });

  test(`${name}: an old Node says so`, () => {
    // Marked fake: no Node below 20 is at hand. It ends as main.js makes an old one end, with 101.
    const bin = mkdtempSync(join(directory, "old-"));
    writeFileSync(join(bin, "node"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    const env = { PATH: `${bin}:${PATH_WITHOUT_NODE}` };
    const run = inNamespace([...portshim, START, ...started], { threshold: 1024, env });
    assert.equal([run.status, run.stdout], [125, ""]);
    assert.is(run.stderr, `portshim: the Node.js here is older than version 20. ${BY_HAND}=80\n`);
  });

  test(`${name}: a Node that cannot be started says so`, () => {
    const bin = mkdtempSync(join(directory, "broken-"));
    writeFileSync(join(bin, "node"), "#!/nonexistent/interpreter\n", { mode: 0o755 });
    const env = { PATH: `${bin}:${PATH_WITHOUT_NODE}` };
    const run = inNamespace([...portshim, START, ...started], { threshold: 1024, env });
    assert.equal([run.status, run.stdout], [125, ""]);
    assert.ok(run.stderr.endsWith(`portshim: the Node.js here, ${bin}/node, cannot be started. ${BY_HAND}=80\n`));
  });

  test(`${name}: a helper that was killed says so`, () => {
    // Marked fake: it dies as a Node that the kernel kills for want of memory.
    const bin = mkdtempSync(join(directory, "killed-"));
    writeFileSync(join(bin, "node"), "#!/bin/sh\nkill -9 $$\n", { mode: 0o755 });
    const env = { PATH: `${bin}:${PATH_WITHOUT_NODE}` };
    const run = inNamespace([...portshim, START, ...started], { threshold: 1024, env });
    assert.equal([run.status, run.stdout], [125, ""]);
    assert.is(run.stderr, `portshim: its helper ended with status 137. ${BY_HAND}=80\n`);
  });

  test(`${name}: found through a link, and in the layout of an image`, () => {
    const home = mkdtempSync(join(directory, "layout-"));
    cpSync(STUB, join(home, "bin", "portshim"));
    const stub = join(home, "bin", "portshim");
    const half = inNamespace([...shell, stub, START, ...started], { threshold: 1024 });
    assert.is(half.status, 125);
    assert.match(
      half.stderr,
      /^portshim: its second half is missing: .*\/lib\/portshim\/slow\.sh\. Install portshim again\.\n$/,
    );
    cpSync(join(STUB, "..", "slow.sh"), join(home, "lib", "portshim", "slow.sh"));
    const lost = inNamespace([...shell, stub, START, ...started], { threshold: 1024 });
    assert.is(lost.status, 125);
    assert.match(lost.stderr, /^portshim: its helper is missing: .*\/lib\/portshim\/main\.js\. Run this on the host/);
    cpSync(join(STUB, "..", "lib"), join(home, "lib", "portshim"), { recursive: true });
    symlinkSync(join(home, "bin", "portshim"), join(home, "link"));
    assert.ok(existsSync(join(home, "lib", "portshim", "main.js")));
    for (const path of [stub, join(home, "link")]) {
      const run = inNamespace([...shell, path, START, ...started], { threshold: 1024 });
      assert.equal([run.status, run.stdout, run.threshold], [0, "started\n", 80]);
    }
  });

  test(`${name}: check: the helper's statuses, and nothing is started`, () => {
    const check = (threshold: number, argv: string[], ordinary: boolean) => {
      const run = inNamespace([...portshim, "check", START, ...argv], { threshold, ordinary });
      assert.equal([run.stderr, run.threshold], ["", threshold]);
      return [run.status, /Nothing has|would take the route|No route can/.exec(run.stdout)?.[0]];
    };
    assert.equal(check(80, [], false), [0, "Nothing has"]);
    assert.equal(check(1024, [], false), [1, "would take the route"]);
    assert.equal(check(1024, ["--via=write"], true), [2, "No route can"]);
  });

  test(`${name}: check and persist: wrong options, and their help`, () => {
    for (const command of ["check", "persist"]) {
      const wrong = inNamespace([...portshim, command, "--frob"], { threshold: 80 });
      assert.equal([wrong.status, wrong.stdout], [125, ""]);
      assert.is(wrong.stderr, `portshim: unknown option "--frob"; see portshim ${command} --help\n`);
      const help = inNamespace([...portshim, command, "--help"], { threshold: 80 });
      assert.equal([help.status, help.stderr], [0, ""]);
      assert.match(help.stdout, new RegExp(`^Usage: portshim ${command} \\[options\\]\n[^]*\nExit status: 0: `));
    }
  });

  test(`${name}: check and persist without Node: one sentence, and 125 even with --optional`, () => {
    for (const argv of [["check"], ["persist"], ["check", "--optional"], ["persist", "--json"], ["check", "a -- b"]]) {
      const env = { PATH: PATH_WITHOUT_NODE, PORTSHIM_OPTIONAL: "1" };
      const run = inNamespace([...portshim, ...argv], { threshold: 1024, env });
      assert.equal([run.status, run.stdout, run.threshold], [125, "", 1024]);
      assert.is(
        run.stderr,
        `portshim: there is no Node.js here, and portshim needs version 20 or later to ask the host. ${BY_HAND}=80\n`,
      );
    }
  });

  test(`${name}: --optional starts the command after a failure, and not after misuse`, () => {
    const failed = inNamespace([...portshim, START, "--optional", "--via=write", ...started], {
      threshold: 1024,
      ordinary: true,
    });
    assert.equal([failed.status, failed.stdout, failed.threshold], [0, "started\n", 1024]);
    assert.match(failed.stderr, /cannot be lowered from here: we may not write .*\n[\s\S]*sudo sysctl -w/);
    const misused = inNamespace([...portshim, "--optional", "--start=x", ...started], { threshold: 1024 });
    assert.equal([misused.status, misused.stdout], [125, ""]);
  });
}

test("what was asked for and could not be written is a failure; a reader that has read enough is none", () => {
  const run = (script: string) =>
    inNamespace(["/bin/sh", "-c", script.replaceAll("$1", "$0"), STUB], { threshold: 80 });
  for (const argv of ["check --start=80 --json", "--help", "--dry-run --start=80"]) {
    const full = run(`"$1" ${argv} >/dev/full`);
    assert.is(full.status, 125, argv);
    assert.match(full.stderr, /^portshim: the output could not be written: ENOSPC: no space left on device, write\n$/);
  }
  const closed = run('exec 3>&1; { "$1" check --start=80; echo "$?" >&3; } | true');
  assert.equal([closed.stdout, closed.stderr], ["0\n", ""]);
});

test("check refuses the variables that a start would", () => {
  for (const variables of [{ PORTSHIM_TIMEOUT: "0" }, { PORTSHIM_OPTIONAL: "yes" }, { PORTSHIM_START: "http" }]) {
    const env = { PATH: pathWith(26), ...variables };
    const run = inNamespace([STUB, "check"], { threshold: 80, env });
    assert.equal([run.status, run.stdout], [125, ""]);
    assert.match(run.stderr, /^portshim: PORTSHIM_[A-Z]+ must be .*\n$/);
  }
});

test("without the stub the statuses are the same", () => {
  const main = join(STUB, "..", "lib", "main.js");
  const statusOf = (threshold: number, ordinary: boolean, ...argv: string[]) =>
    inNamespace([node(26), main, ...argv], { threshold, ordinary }).status;
  assert.equal(
    [
      statusOf(80, false, "--help"),
      statusOf(80, false, "--version"),
      statusOf(80, false, "check", START),
      statusOf(1024, false, "check", START),
      statusOf(1024, true, "check", START, "--via=write"),
      statusOf(1024, true, "check", "--frob"),
      statusOf(80, false, "--dry-run", START),
    ],
    [0, 0, 0, 1, 2, 125, 0],
  );
});

test.run();
