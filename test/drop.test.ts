import * as assert from "uvu/assert";
import { inNamespace, pathWith, SHELLS, type Situation } from "./namespace.js";
import { NODE_VERSIONS, node, ROOT, STUB } from "./need.js";
import { suite } from "./suite.js";

const test = suite("drop", "root", "shells", "nodes");

const STATUS = ["--", "/bin/cat", "/proc/self/status"];
const SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const NONE = "0000000000000000";
const PORT_ONLY = "0000000000000400";
/** As containers have it: the threshold cannot simply be lowered. */
const READ_ONLY = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys";

/** A field of /proc/PID/status, blanks folded. */
function field(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1]?.replace(/\s+/g, " ");
}

function assertDropped(status: string, capabilities: string): void {
  assert.is(field(status, "Uid"), "65534 65534 65534 65534");
  assert.is(field(status, "Gid"), "65533 65533 65533 65533");
  assert.is(field(status, "Groups"), "");
  for (const set of SETS) assert.is(field(status, set), capabilities, set);
  assert.is(field(status, "NoNewPrivs"), "1");
}

for (const [name, shell] of Object.entries(SHELLS)) {
  const portshim = [...shell, STUB, "--start=80"];
  const run = (argv: readonly string[], situation: Situation) => inNamespace([...portshim, ...argv], situation);

  test(`${name}: with the port free for all, no capability stays, and nothing is said`, () => {
    for (const [flags, env] of [
      [["--user=65534:65533"], {}],
      [["--user", "65534:65533"], {}],
      [[], { PORTSHIM_USER: "65534:65533" }],
    ] as const) {
      const { status, stdout, stderr } = run([...flags, ...STATUS], {
        threshold: 80,
        env: { PATH: pathWith(26), ...env },
      });
      assert.equal([status, stderr], [0, ""]);
      assertDropped(stdout, NONE);
    }
  });

  test(`${name}: where it may be lowered it is, and then no capability stays`, () => {
    const { status, stdout, threshold } = run(["--user=65534:65533", ...STATUS], { threshold: 1024 });
    assert.equal([status, threshold], [0, 80]);
    assertDropped(stdout, NONE);
  });

  test(`${name}: else the server keeps CAP_NET_BIND_SERVICE, and it alone, and may bind`, () => {
    const situation = { threshold: 1024, prepare: READ_ONLY };
    const { status, stdout, stderr, threshold } = run(["--user=65534:65533", ...STATUS], situation);
    assert.equal([status, stderr, threshold], [0, "", 1024]);
    assertDropped(stdout, PORT_ONLY);
    const server = 'require("net").createServer().listen(80, () => { console.log("bound"); process.exit(); })';
    const bound = run(["--user=65534:65533", "--", node(26), "-e", server], situation);
    assert.equal([bound.status, bound.stdout, bound.stderr], [0, "bound\n", ""]);
  });

  test(`${name}: HOME is the user's, and the rest of the environment stays, odd names too`, () => {
    const env = { PATH: pathWith(26), HOME: "/root", NODE_OPTIONS: "--no-warnings" };
    // The shell that prepares the namespace would drop it.
    const odd = ["/usr/bin/env", "a.b=1\n2"];
    const command = [...odd, ...portshim, "--user=65534:65533", "--", "/usr/bin/env", "-0"];
    const { stdout } = inNamespace(command, { threshold: 80, env });
    const entries = stdout.split("\0");
    // Debian's nobody lives there.
    for (const entry of ["HOME=/nonexistent", "a.b=1\n2", "NODE_OPTIONS=--no-warnings"]) {
      assert.ok(entries.includes(entry), `${entry} in ${entries}`);
    }
    assert.not(entries.some((entry) => /^PORTSHIM_/.test(entry)));
  });

  test(`${name}: root stays root, with what it has`, () => {
    const { status, stdout } = run(["--user=0", ...STATUS], { threshold: 80 });
    assert.is(status, 0);
    assert.is(field(stdout, "Uid"), "0 0 0 0");
    assert.is(field(stdout, "NoNewPrivs"), "0");
    assert.not(field(stdout, "CapEff") === NONE);
  });

  const refused: [why: string, user: string, situation: Partial<Situation>, sentence: string][] = [
    ["not root", "65533", { ordinary: true }, "only root can become another user"],
    ["an unknown user", "bogus", {}, 'there is no user "bogus" in /etc/passwd'],
    ["an unknown group", "0:bogus", {}, 'there is no group "bogus" in /etc/group'],
    ["no CAP_SETUID", "65534", { privileges: ["--bounding-set=-setuid"] }, "this container's root lacks CAP_SETUID"],
  ];
  for (const [why, user, situation, sentence] of refused) {
    test(`${name}: ${why}: 125, also with --optional`, () => {
      for (const flags of [[], ["--optional"]]) {
        const result = run([...flags, `--user=${user}`, ...STATUS], { threshold: 80, ...situation });
        assert.equal([result.status, result.stdout], [125, ""]);
        assert.is(result.stderr, `portshim: --user cannot be followed: ${sentence}\n`);
      }
    });
  }

  test(`${name}: without Node a server that was to be dropped does not start, --optional or not`, () => {
    const env = { PATH: "/nonexistent" };
    const prepare =
      "mount -t tmpfs tmpfs /opt; for n in node nodejs; do [ ! -e /usr/bin/$n ] || mount --bind /dev/null /usr/bin/$n; done";
    const result = run(["--optional", "--user=65534", ...STATUS], { threshold: 1024, env, prepare });
    assert.equal([result.status, result.stdout], [125, ""]);
  });

  test(`${name}: without CAP_SETPCAP it says what could not be dropped`, () => {
    const { status, stdout, stderr } = run(["--user=65534:65533", ...STATUS], {
      threshold: 80,
      privileges: ["--bounding-set=-setpcap"],
    });
    assert.is(status, 0);
    assert.is(
      stderr,
      "portshim: This container's root lacks CAP_SETPCAP, so the server's capability bounding set could not be emptied.\n",
    );
    assert.is(field(stdout, "CapEff"), NONE);
    assert.not(field(stdout, "CapBnd") === NONE);
  });

  test(`${name}: without util-linux's setpriv Node does it, and says what that costs`, () => {
    // busybox's own setpriv has no --reuid.
    const prepare = "mount --bind /usr/bin/busybox /usr/bin/setpriv";
    const { status, stdout, stderr } = run(["--user=65534:65533", ...STATUS], { threshold: 80, prepare });
    assert.is(status, 0, stderr);
    assert.match(stderr, /^portshim: There is no util-linux setpriv here, so Node drops root: .*\n$/);
    assert.is(field(stdout, "Uid"), "65534 65534 65534 65534");
    assert.is(field(stdout, "Groups"), "");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) assert.is(field(stdout, set), NONE, set);
  });
}

for (const version of NODE_VERSIONS) {
  const main = `${ROOT}/shim/lib/main.js`;
  const direct = (argv: readonly string[], situation: Situation) =>
    inNamespace([node(version), main, "--start=80", ...argv], situation);

  if (version === 20) {
    test("without a shell, by Node 20: a clear 125, and nothing is changed", () => {
      const { status, stdout, stderr, threshold } = direct(STATUS, { threshold: 1024 });
      assert.equal([status, stdout, threshold], [125, "", 1024]);
      assert.match(
        stderr,
        /^portshim: without a shell \(or.*\) portshim needs Node\.js 22\.15 or later, and this is 20\./,
      );
    });
    continue;
  }

  test(`without a shell, by Node ${version}: lowers it and becomes the command`, () => {
    const { status, stdout, threshold } = direct(["--", "/bin/sh", "-c", 'echo "$0 $1"; exit 7', "a", "b c"], {
      threshold: 1024,
    });
    assert.equal([status, stdout, threshold], [7, "a b c\n", 80]);
  });

  test(`without a shell, by Node ${version}: SIGPIPE and SIGXFSZ arrive at their defaults`, () => {
    const { stdout } = direct(STATUS, { threshold: 80 });
    assert.is(field(stdout, "SigIgn"), NONE);
  });

  test(`without a shell, by Node ${version}: --user`, () => {
    const { status, stdout } = direct(["--user=65534:65533", ...STATUS], { threshold: 80 });
    assert.is(status, 0);
    assert.is(field(stdout, "Uid"), "65534 65534 65534 65534");
    assert.is(field(stdout, "CapEff"), NONE);
  });

  test(`without a shell, by Node ${version}: 126 and 127`, () => {
    assert.is(direct(["--", "/nonexistent"], { threshold: 80 }).status, 127);
    assert.is(direct(["--", "nonexistent"], { threshold: 80 }).status, 127);
    const folder = direct(["--", "/etc"], { threshold: 80 });
    assert.equal([folder.status, folder.stderr], [126, "portshim: /etc: cannot be executed\n"]);
  });
}

test.run();
