import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Files, GOSU_TABLE } from "../here/user.cases.js";
import { inNamespace, pathWith, type Situation } from "../namespace.js";
import { node, PORTSHIM, ROOT, which } from "../need.js";
import { suite } from "../suite.js";

const test = suite("drop", "root", "tools", "nodes");
const real = suite("--user is what gosu is, over gosu's own table", "root", "tools", "nodes", "gosu");

const directory = mkdtempSync(join(tmpdir(), "portshim-drop-"));
chmodSync(directory, 0o755);
process.on("exit", () => rmSync(directory, { recursive: true }));

const STATUS = ["--", "/bin/cat", "/proc/self/status"];
const SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const NONE = "0000000000000000";
const PORT_ONLY = "0000000000000400";
/** As in containers: the threshold cannot be written. */
const READ_ONLY = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys";
const SOMEBODY = "--user=65534:65533";

const run = (argv: readonly string[], situation: Situation) =>
  inNamespace([PORTSHIM, "--start=80", ...argv], situation);

/** A field of /proc/PID/status, blanks folded. */
function field(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1]?.replace(/\s+/g, " ");
}

function assertDropped(status: string, capabilities: string, bounding = capabilities): void {
  assert.is(field(status, "Uid"), "65534 65534 65534 65534");
  assert.is(field(status, "Gid"), "65533 65533 65533 65533");
  assert.is(field(status, "Groups"), "");
  for (const set of SETS) assert.is(field(status, set), set === "CapBnd" ? bounding : capabilities, set);
  assert.is(field(status, "NoNewPrivs"), "1");
}

test("if any user can bind the port, no capability stays, and nothing is said", () => {
  for (const [flags, env] of [
    [[SOMEBODY], {}],
    [["--user", "65534:65533"], {}],
    [[], { PORTSHIM_USER: "65534:65533" }],
  ] as const) {
    const situation = { threshold: 80, env: { PATH: pathWith(26), ...env } };
    const { status, stdout, stderr } = run([...flags, ...STATUS], situation);
    assert.equal([status, stderr], [0, ""]);
    assertDropped(stdout, NONE);
  }
});

test("if the threshold can be lowered it is, and then no capability stays", () => {
  const { status, stdout, threshold } = run([SOMEBODY, ...STATUS], { threshold: 1024 });
  assert.equal([status, threshold], [0, 80]);
  assertDropped(stdout, NONE);
});

test("else the server keeps CAP_NET_BIND_SERVICE, and it alone, and can bind", () => {
  const situation = { threshold: 1024, prepare: READ_ONLY };
  const { status, stdout, stderr, threshold } = run([SOMEBODY, ...STATUS], situation);
  assert.equal([status, stderr, threshold], [0, "", 1024]);
  assertDropped(stdout, PORT_ONLY);
  const server = 'require("net").createServer().listen(80, () => { console.log("bound"); process.exit(); })';
  const bound = run([SOMEBODY, "--", node(26), "-e", server], situation);
  assert.equal([bound.status, bound.stdout, bound.stderr], [0, "bound\n", ""]);
});

test("HOME is the user's, and the rest of the environment stays, odd names too", () => {
  const env = { PATH: pathWith(26), HOME: "/root", NODE_OPTIONS: "--no-warnings" };
  // The shell that prepares the namespace would drop a variable with such a name.
  const odd = ["/usr/bin/env", "a.b=1\n2"];
  const command = [...odd, PORTSHIM, "--start=80", SOMEBODY, "--", "/usr/bin/env", "-0"];
  const entries = inNamespace(command, { threshold: 80, env }).stdout.split("\0");
  // The home of Debian's user nobody.
  for (const entry of ["HOME=/nonexistent", "a.b=1\n2", "NODE_OPTIONS=--no-warnings"]) {
    assert.ok(entries.includes(entry), `${entry} in ${entries}`);
  }
  assert.is(entries.filter((entry) => entry.startsWith("HOME=")).length, 1);
  assert.not(entries.some((entry) => entry.startsWith("PORTSHIM_")));
});

test("root stays root, with what it has, whether or not the threshold can be lowered", () => {
  const bare = inNamespace(STATUS.slice(1), { threshold: 80 }).stdout;
  for (const situation of [{ threshold: 80 }, { threshold: 1024, prepare: READ_ONLY }]) {
    const { status, stdout, stderr } = run(["--user=0", ...STATUS], situation);
    assert.equal([status, stderr], [0, ""]);
    for (const name of ["Uid", "Gid", "NoNewPrivs", ...SETS]) assert.is(field(stdout, name), field(bare, name), name);
  }
});

// docker run --cap-drop=all --cap-add=setuid,setgid,net_bind_service
const FEW = { privileges: ["--bounding-set=-all,+setuid,+setgid,+net_bind_service"] };

test("without CAP_SETPCAP the bounding set stays, and no_new_privs makes it harmless", () => {
  for (const [situation, capabilities] of [
    [{ threshold: 80, ...FEW }, NONE],
    [{ threshold: 1024, prepare: READ_ONLY, ...FEW }, PORT_ONLY],
  ] as const) {
    const { status, stdout, stderr } = run([SOMEBODY, ...STATUS], situation);
    assert.equal([status, stderr], [0, ""]);
    assertDropped(stdout, capabilities, "00000000000004c0");
  }
});

test("securebits do not keep a capability from being dropped", () => {
  const { status, stdout } = run([SOMEBODY, ...STATUS], {
    threshold: 80,
    privileges: ["--securebits=+no_setuid_fixup,+no_setuid_fixup_locked,+keep_caps_locked"],
  });
  assert.is(status, 0);
  assertDropped(stdout, NONE);
});

/** Commands before portshim under which a step of the drop fails, and that step. */
const FAILING: readonly (readonly [why: string, before: readonly string[], situation: Situation, step: RegExp])[] = [
  [
    "capabilities cannot be kept over setuid",
    ["/usr/bin/setpriv", "--securebits=+keep_caps_locked"],
    { threshold: 1024, prepare: READ_ONLY },
    /PR_SET_KEEPCAPS.*: Operation not permitted/,
  ],
  [
    "no capability can be made ambient",
    // SECBIT_NO_CAP_AMBIENT_RAISE
    [which("capsh") as string, "--secbits=64", "--shell=/usr/bin/env", "--"],
    { threshold: 1024, prepare: READ_ONLY },
    /PR_CAP_AMBIENT: Operation not permitted/,
  ],
];
for (const [why, before, situation, step] of FAILING) {
  test(`${why}: 77, and the server does not run`, () => {
    for (const flags of [[], ["--optional"]]) {
      const argv = [...before, PORTSHIM, "--start=80", ...flags, SOMEBODY, "--", "/bin/echo", "started"];
      const { status, stdout, stderr } = inNamespace(argv, situation);
      assert.equal([status, stdout], [77, ""]);
      assert.match(stderr, /^portshim: cannot switch to the user: /);
      assert.match(stderr, step);
    }
  });
}

test("a user namespace without setgroups: 77, and the server does not run", () => {
  const home = join(directory, "setgroups");
  mkdirSync(home);
  // Mounted, because the checkout can be closed to the ordinary user who makes the namespace.
  const mounts = [
    ["shim", join(ROOT, "shim"), "mkdir"],
    ["node", node(26), "touch"],
  ].map(([name, original, make]) => `${make} ${home}/${name}; mount --bind ${original} ${home}/${name}`);
  const portshim = PORTSHIM.replace(join(ROOT, "shim"), `${home}/shim`);
  const argv = [
    ...["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    ...["/usr/bin/unshare", "--user", "--map-root-user", "--net", "/bin/sh", "-c"],
    ...['echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start; exec "$0" "$@"'],
    ...[portshim, "--start=80", "--optional", "--user=0", "--", "/bin/echo", "started"],
  ];
  const { status, stdout, stderr } = inNamespace(argv, {
    threshold: 1024,
    prepare: mounts.join("; "),
    env: { PATH: home },
  });
  assert.equal([status, stdout], [77, ""]);
  assert.match(stderr, /^portshim: cannot switch to the user: setgroups: Operation not permitted\n$/);
});

const REFUSED: readonly (readonly [
  why: string,
  user: string,
  situation: Partial<Situation>,
  status: number,
  sentence: string,
])[] = [
  ["not root", "65533", { ordinary: true }, 77, "only root can do that"],
  ["an unknown user", "bogus", {}, 64, "there is no such user in /etc/passwd"],
  ["an unknown group", "0:bogus", {}, 64, 'there is no group "bogus" in /etc/group'],
  ["an empty user", "", {}, 64, ""],
  ["no CAP_SETUID", "65534", { privileges: ["--bounding-set=-setuid"] }, 77, "this container's root lacks CAP_SETUID"],
  ["no CAP_SETGID", "65534", { privileges: ["--bounding-set=-setgid"] }, 77, "this container's root lacks CAP_SETGID"],
];
for (const [why, user, situation, status, sentence] of REFUSED) {
  test(`${why}: ${status}, also with --optional`, () => {
    for (const flags of [[], ["--optional"]]) {
      for (const threshold of [80, 1024]) {
        const result = run([...flags, `--user=${user}`, ...STATUS], { threshold, ...situation });
        assert.equal([result.status, result.stdout, result.threshold], [status, "", threshold]);
        const whole =
          sentence === ""
            ? '--user must be a user\'s name or number, not ""'
            : `cannot switch to user "${user}": ${sentence}`;
        assert.is(result.stderr, `portshim: ${whole}\n`);
      }
    }
  });
}

/** A script that puts these files in /etc. */
function withFiles({ passwd = "", group = "" }: Files): string {
  return Object.entries({ passwd, group })
    .map(([name, text]) => {
      const path = join(directory, name);
      writeFileSync(path, text);
      return `mount --bind ${path} /etc/${name}`;
    })
    .join("; ");
}

test("a user in 1024 groups is in all of them; more are rejected before anything is changed", () => {
  const passwd = "web:x:65534:65533::/srv:\n";
  const group = (count: number) => Array.from({ length: count }, (_, at) => `g${at}:x:${2000 + at}:web\n`).join("");
  const many = run(["--user=web", ...STATUS], { threshold: 80, prepare: withFiles({ passwd, group: group(1024) }) });
  assert.is(many.status, 0, many.stderr);
  assert.is(field(many.stdout, "Groups"), Array.from({ length: 1024 }, (_, at) => 2000 + at).join(" "));
  const prepare = withFiles({ passwd, group: group(1025) });
  const { status, stdout, threshold } = run(["--user=web", ...STATUS], { threshold: 1024, prepare });
  assert.equal([status, stdout, threshold], [77, "", 1024]);
});

test("a HOME of 4095 bytes arrives complete, a longer one is rejected", () => {
  const start = (length: number) => {
    const home = `/${"h".repeat(length - 1)}`;
    const prepare = withFiles({ passwd: `web:x:65534:65533::${home}:\n`, group: "" });
    const { status, stdout } = run(["--user=web", "--", "/usr/bin/env"], { threshold: 80, prepare });
    return [status, stdout.split("\n").includes(`HOME=${home}`)];
  };
  assert.equal(start(4095), [0, true]);
  assert.equal(start(4096), [77, false]);
});

test("Node is started once", () => {
  for (const situation of [{ threshold: 80 }, { threshold: 1024 }, { threshold: 1024, prepare: READ_ONLY }]) {
    const trace = join(directory, "trace");
    const strace = ["/usr/bin/strace", "-fqq", "-etrace=execve", "-z", "-o", trace];
    const { status } = inNamespace([...strace, PORTSHIM, "--start=80", SOMEBODY, "--", "/bin/true"], situation);
    assert.is(status, 0);
    const programs = [...readFileSync(trace, "latin1").matchAll(/ execve\("([^"]*)"/g)].map(([, path]) => path);
    assert.equal(programs.length, 3, programs.join());
    assert.equal([programs[0], programs[2]], [PORTSHIM, "/bin/true"]);
    assert.match(programs[1] ?? "", /\/node$/);
  }
});

for (const { promise, spec, files } of GOSU_TABLE) {
  real(`${spec}: ${promise}`, () => {
    const print = ["/bin/sh", "-c", 'cat /proc/self/status; echo "HOME: $HOME"'];
    const situation = { threshold: 80, prepare: withFiles(files), env: { PATH: `${pathWith(26)}:/usr/bin:/bin` } };
    const theirs = inNamespace([which("gosu") as string, spec, ...print], situation);
    const ours = run([`--user=${spec}`, "--", ...print], situation);
    if (theirs.status === 0) {
      const user = (status: string) => ["Uid", "Gid", "Groups", "HOME"].map((name) => field(status, name));
      assert.equal([ours.status, user(ours.stdout)], [0, user(theirs.stdout)]);
    } else {
      assert.match(theirs.stderr, /^error: failed switching to /);
      assert.equal([ours.status, ours.stdout], [64, ""]);
    }
  });
}

test.run();
real.run();
