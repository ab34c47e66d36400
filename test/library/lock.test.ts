import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { PortshimError } from "../../shim/lib/error.js";
import { SETTING_FILE } from "../../shim/lib/here/threshold.js";
import { node, PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("lock", "root", "tools", "nodes");

/** An unused uid: its files in /tmp and its processes are the test's. */
const UID = 4242424;
const TEMPORARY = `/tmp/portshim-${UID}`;

// CAP_DAC_READ_SEARCH, because the checkout can be in a folder that is closed to others.
const ORDINARY = [
  ...[`--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

const LIBRARY = JSON.stringify(join(ROOT, "shim", "lib", "library", "index.js"));
const REFUSED_ANOTHER = new PortshimError("refused-another").message;

/** The host's answers. */
const ANSWERS = {
  yes: "echo net.ipv4.ip_unprivileged_port_start = 80\n",
  no: "echo 'Error executing command as another user: Request dismissed' >&2; exit 126\n",
} as const;

interface Ending {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A launcher, or a program with the library, that was started. */
interface Start {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * An ordinary user in a network namespace of their own, with a host that can be asked: a marked fake, a bridge that runs
 * all commands here, where pkexec says that it was asked and waits for the test's answer.
 */
class World {
  readonly directory = mkdtempSync(join(tmpdir(), "portshim-lock-"));
  /** A folder that only the user can enter. */
  readonly runtime = join(this.directory, "runtime");
  readonly #asked = join(this.directory, "asked");
  readonly #answer = join(this.directory, "answer");
  readonly #nodes = join(this.directory, "nodes");
  readonly #keeper: ChildProcess;

  private constructor() {
    chmodSync(this.directory, 0o755);
    chownSync(this.directory, UID, UID);
    this.folder("runtime", UID, 0o700);
    this.folder("bin");
    symlinkSync("/usr/bin/flock", join(this.directory, "bin", "flock"));
    this.program("node", `echo >>${this.#nodes}; exec ${node(26)} "$@"`);
    const wait = `echo asked >>${this.#asked}; until [ -e ${this.#answer} ]; do /bin/sleep 0.01; done`;
    this.program("bridge", 'exec "$@"');
    this.program("pkexec", `${wait}; exec /bin/sh ${this.#answer}`);
    const pkexec = `mount --bind ${join(this.directory, "bin", "pkexec")} /usr/bin/pkexec`;
    const script = `mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/user; ${pkexec}; echo; exec sleep 600`;
    this.#keeper = spawn("unshare", ["--net", "--mount", "sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  }

  static async open(): Promise<World> {
    const world = new World();
    worlds.push(world);
    await new Promise((resolve) => world.#keeper.stdout?.once("data", resolve));
    return world;
  }

  close(): void {
    this.#keeper.kill("SIGKILL");
    rmSync(this.directory, { recursive: true });
  }

  folder(name: string, owner = 0, mode = 0o755): string {
    const path = join(this.directory, name);
    mkdirSync(path);
    chmodSync(path, mode);
    chownSync(path, owner, owner);
    return path;
  }

  program(name: string, script: string): void {
    writeFileSync(join(this.directory, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** Runs a script as root in the namespaces. */
  asRoot(script: string): string {
    return execFileSync("nsenter", [...this.#enter(), "/bin/sh", "-c", script], { encoding: "utf8" });
  }

  #enter(): string[] {
    return [`--target=${this.#keeper.pid}`, "--net", "--mount", "--"];
  }

  /** Starts a command in `directory`, as the user, or with other options of setpriv(1). */
  run(argv: readonly string[], variables: Variables = {}, user: readonly string[] = ORDINARY): Start {
    const environment = {
      PATH: join(this.directory, "bin"),
      PORTSHIM_BRIDGE: join(this.directory, "bin", "bridge"),
      XDG_RUNTIME_DIR: this.runtime,
      ...variables,
    };
    const assignments = Object.entries(environment).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${value}`],
    );
    const from = ["/usr/bin/env", "-i", `--chdir=${this.directory}`, ...assignments];
    const child = spawn("nsenter", [...this.#enter(), "/usr/bin/setpriv", ...user, ...from, ...argv], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name]?.on("data", (chunk) => {
        output[name] += chunk;
      });
    const ended = new Promise<Ending>((resolve) => child.on("close", (status) => resolve({ status, ...output })));
    return { child, ended };
  }

  /** The namespace's lock in a folder. */
  lockIn(folder: string): string {
    const inode = this.asRoot("stat --dereference --format=%i /proc/self/ns/net").trim();
    return join(folder, `portshim-${inode}.lock`);
  }

  /** How often the host was asked. */
  get asked(): number {
    return linesOf(this.#asked);
  }

  /** How often a Node was started. */
  get nodes(): number {
    return linesOf(this.#nodes);
  }

  /** Makes the host give this answer, to an open question and every later one. */
  answer(answer: keyof typeof ANSWERS): void {
    if (answer === "yes") this.asRoot(`echo 80 >${SETTING_FILE}`);
    writeFileSync(`${this.#answer}.new`, ANSWERS[answer]);
    renameSync(`${this.#answer}.new`, this.#answer);
  }
}

function linesOf(file: string): number {
  return existsSync(file) ? readFileSync(file, "latin1").split("\n").length - 1 : 0;
}

async function until(condition: () => boolean): Promise<void> {
  for (const began = Date.now(); !condition(); ) {
    if (Date.now() - began > 20_000) throw new Error(`waited 20 s in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How many processes wait for the lock or hold it: they have its file open. */
function opened({ child }: Start): number {
  try {
    const folder = `/proc/${child.pid}/fd`;
    return readdirSync(folder).filter((fd) => /\/portshim-\d+\.lock$/.test(readlinkSync(join(folder, fd)))).length;
  } catch {
    return 0;
  }
}

/** The two that take the lock, and how each reports the outcome. */
const KINDS = {
  launcher: {
    start: (world: World, timeout = 60, variables: Variables = {}) =>
      world.run([PORTSHIM, "--start=80", `--timeout=${timeout}`, "--", "/bin/echo", "started"], variables),
    started: [0, "started\n"],
    refused: [77, ""],
  },
  library: {
    start: (world: World, timeout = 60, variables: Variables = {}) =>
      world.run(
        [
          join(world.directory, "bin", "node"),
          "--eval",
          `require(${LIBRARY}).ensurePorts({ start: 80, timeout: ${timeout} }).then(console.log, ({ code, message }) => console.log(code, message))`,
        ],
        variables,
      ),
    started: [0, "already\n"],
    refused: [0, `refused-another ${REFUSED_ANOTHER}\n`],
  },
} as const;
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];
const PAIRS = NAMES.flatMap((holder) => NAMES.map((waiter) => [holder, waiter] as const));

/** strace(1) before a command, with a fault in its words; the command is its parent. */
function traced(fault: string): string[] {
  return ["/usr/bin/strace", "-D", "-qq", "-o", "/dev/null", `-etrace=${fault.split(":")[0]}`, `-einject=${fault}`];
}

async function outcome({ ended }: Start): Promise<readonly [status: number | null, stdout: string]> {
  const { status, stdout } = await ended;
  return [status, stdout];
}

const worlds: World[] = [];
test.after.each(() => {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (statSync(`/proc/${pid}`).uid === UID) process.kill(Number(pid), "SIGKILL");
    } catch {}
  }
  for (const world of worlds.splice(0)) world.close();
  rmSync(TEMPORARY, { recursive: true, force: true });
});

for (const [holder, waiter] of PAIRS) {
  test(`a ${waiter} waits for a ${holder}: a refusal holds for both, but not for those that start later`, async () => {
    const world = await World.open();
    const first = KINDS[holder].start(world);
    await until(() => world.asked === 1);
    const second = KINDS[waiter].start(world);
    await until(() => opened(second) === 1);
    world.answer("no");
    assert.equal(await outcome(second), KINDS[waiter].refused);
    const { status, stdout, stderr } = await first.ended;
    assert.match(`${status} ${stdout}${stderr}`, holder === "launcher" ? /^77 [\s\S]*dismissed/ : /^0 dismissed/);
    assert.is(world.asked, 1);
    // Files' times have the resolution of a clock's tick.
    const refusal = statSync(world.lockIn(world.runtime)).mtimeMs;
    await until(() => Date.now() > refusal + 50);
    const third = KINDS[waiter].start(world);
    await third.ended;
    assert.is(world.asked, 2);
  });

  test(`a ${waiter} waits for a ${holder}: what one has obtained is enough for both`, async () => {
    const world = await World.open();
    const first = KINDS[holder].start(world);
    await until(() => world.asked === 1);
    const second = KINDS[waiter].start(world);
    await until(() => opened(second) === 1);
    world.answer("yes");
    assert.equal(await outcome(first), holder === "launcher" ? [0, "started\n"] : [0, "pkexec\n"]);
    assert.equal(await outcome(second), KINDS[waiter].started);
    assert.is(world.asked, 1);
  });

  test(`a ${waiter} goes on if the ${holder} before it is killed`, async () => {
    const world = await World.open();
    const first = KINDS[holder].start(world);
    await until(() => world.asked === 1);
    const second = KINDS[waiter].start(world);
    await until(() => opened(second) === 1);
    first.child.kill("SIGKILL");
    await until(() => world.asked === 2);
  });
}

for (const waiter of NAMES) {
  test(`a ${waiter} that waits is refused at once, though one that has started since has its turn first`, async () => {
    const world = await World.open();
    const first = KINDS.launcher.start(world);
    await until(() => world.asked === 1);
    const second = KINDS[waiter].start(world);
    await until(() => opened(second) === 1);
    // What one leaves that was refused before the first one asked.
    writeFileSync(world.lockIn(world.runtime), "\0");
    assert.equal(await outcome(second), KINDS[waiter].refused);
    assert.equal([world.asked, opened(first)], [1, 1]);
  });
}

test("nobody waits forever for a process that was stopped", async () => {
  const wait = async ([holder, waiter]: (typeof PAIRS)[number]) => {
    const world = await World.open();
    const first = KINDS[holder].start(world);
    await until(() => world.asked === 1);
    first.child.kill("SIGSTOP");
    // The default would be two minutes.
    const second = KINDS[waiter].start(world, 1);
    await until(() => opened(second) === 1);
    await until(() => world.asked === 2);
  };
  await Promise.all(PAIRS.map(wait));
});

test("on a slow machine they do not wait longer either", async () => {
  const world = await World.open();
  const first = KINDS.launcher.start(world);
  await until(() => world.asked === 1);
  first.child.kill("SIGSTOP");
  // strace makes each look for the lock, every hundredth second, take a tenth.
  const second = world.run([
    ...traced("rt_sigtimedwait:delay_exit=100000"),
    ...[PORTSHIM, "--start=80", "--timeout=1", "--", "/bin/echo", "started"],
  ]);
  await until(() => opened(second) === 1);
  await until(() => world.asked === 2);
});

test("the launcher says what the library says, and --optional covers it", async () => {
  const world = await World.open();
  const first = KINDS.launcher.start(world);
  await until(() => world.asked === 1);
  const [plain, optional, ...commands] = [
    KINDS.launcher.start(world),
    KINDS.launcher.start(world, 60, { PORTSHIM_OPTIONAL: "1" }),
    ...[["persist"], ["guard", "--apply"], ["guard", "--remove"]].map((argv) => world.run([PORTSHIM, ...argv])),
  ];
  await until(() => [plain, optional, ...commands].every((start) => opened(start) === 1));
  world.answer("no");
  const sentence = `portshim: ${REFUSED_ANOTHER}\n`;
  for (const start of [plain, ...commands])
    assert.equal(await start.ended, { status: 77, stdout: "", stderr: sentence });
  const { status, stdout, stderr } = await optional.ended;
  const anyway = "portshim: starting the command anyway (--optional)\n";
  assert.equal([status, stdout, stderr], [0, "started\n", sentence + anyway]);
  await first.ended;
  assert.is(world.asked, 1);
});

test("twenty launchers at once, refused: one prompt, and Node is started once", async () => {
  const world = await World.open();
  const all = Array.from({ length: 20 }, () => KINDS.launcher.start(world));
  await until(() => world.asked === 1 && all.every((start) => opened(start) === 1));
  world.answer("no");
  for (const start of all) assert.equal(await outcome(start), KINDS.launcher.refused);
  assert.equal([world.asked, world.nodes], [1, 1]);
});

test("a process that started before a refusal, and reaches the lock after it, is refused too", async () => {
  const world = await World.open();
  const first = KINDS.launcher.start(world);
  await until(() => world.asked === 1);
  // strace delays its first attempt to take the lock.
  const slow = traced("flock:delay_enter=500000:when=1");
  const second = world.run([...slow, PORTSHIM, "--start=80", "--", "/bin/echo", "started"]);
  await until(() => opened(second) === 1);
  world.answer("no");
  await first.ended;
  assert.equal(await outcome(second), KINDS.launcher.refused);
  assert.is(world.asked, 1);
});

test("twenty launchers at once, and the host says yes: one prompt, and Node is started once", async () => {
  const world = await World.open();
  const all = Array.from({ length: 20 }, () => KINDS.launcher.start(world));
  await until(() => world.asked === 1 && all.every((start) => opened(start) === 1));
  world.answer("yes");
  for (const start of all) assert.equal(await outcome(start), KINDS.launcher.started);
  assert.equal([world.asked, world.nodes], [1, 1]);
});

for (const answer of ["yes", "no"] as const) {
  test(`twenty calls of one program, and the host says ${answer}: one prompt`, async () => {
    const world = await World.open();
    const script = `
      const calls = Array.from({ length: 20 }, () => require(${LIBRARY}).ensurePorts({ start: 80 }));
      Promise.allSettled(calls).then((all) => console.log(all.map(({ value, reason }) => value ?? reason.code).sort().join()));`;
    const all = world.run([join(world.directory, "bin", "node"), "--eval", script]);
    await until(() => world.asked === 1 && opened(all) === 20);
    world.answer(answer);
    const [one, others] = answer === "yes" ? ["pkexec", "already"] : ["dismissed", "refused-another"];
    assert.equal(await outcome(all), [0, `${[one, ...Array(19).fill(others)].sort().join()}\n`]);
    assert.is(world.asked, 1);
  });
}

for (const kind of NAMES) {
  test(`a ${kind}: a new file is not a refusal, and the time of an older one is the refusal's`, async () => {
    const world = await World.open();
    world.answer("no");
    const file = world.lockIn(world.runtime);
    const soon = Date.now() / 1000 + 3600;
    const start = async (text: string, date: number) => {
      writeFileSync(file, text);
      chownSync(file, UID, UID);
      utimesSync(file, date, date);
      const before = world.asked;
      await KINDS[kind].start(world).ended;
      return world.asked > before;
    };
    assert.ok(await start("", soon), "a new file");
    assert.ok(await start("\0", soon - 7200), "a refusal of an hour ago");
    assert.not(await start("\0", soon), "a refusal that comes after the start");
  });

  test(`the place of a ${kind}'s lock`, async () => {
    const world = await World.open();
    world.answer("no");
    const run = `/run/user/${UID}`;
    const locked = async (XDG_RUNTIME_DIR: string | undefined, folder: string) => {
      const before = world.asked;
      await KINDS[kind].start(world, 60, { XDG_RUNTIME_DIR }).ended;
      assert.is(world.asked, before + 1, "it works");
      const file = world.lockIn(folder);
      // Removed, so that the next one has to create its own.
      return world.asRoot(`[ -e ${file} ] && rm ${file} && echo locked; exit 0`) === "locked\n";
    };
    assert.ok(await locked(world.runtime, world.runtime), "in $XDG_RUNTIME_DIR");
    world.asRoot(`mkdir -m 700 ${run}; chown ${UID}:${UID} ${run}`);
    for (const [why, path] of [
      ["it is not set", undefined],
      ["it is empty", ""],
      ["it is relative", "runtime"],
      ["it is not there", "/nonexistent"],
      ["it is no folder", "/bin/true"],
      ["it is somebody else's", world.folder("root's", 0, 0o700)],
      ["others can look into it", world.folder("open", UID, 0o755)],
      ["others can write to it", world.folder("shared", UID, 0o770)],
      ["it is a link", linkTo(world, "runtime")],
    ] as const) {
      assert.ok(await locked(path, run), `in /run/user if ${why}`);
    }
    assert.equal(readdirSync(world.runtime), []);
    world.asRoot(`rm -r ${run}`);
    assert.not(existsSync(TEMPORARY));
    assert.ok(await locked(undefined, TEMPORARY), "else in /tmp");
    const { uid, mode } = statSync(TEMPORARY);
    assert.equal([uid, mode & 0o7777], [UID, 0o700]);
    for (const [why, owner, permissions] of [
      ["a stranger's", 0, 0o777],
      ["open to others", UID, 0o701],
    ] as const) {
      chownSync(TEMPORARY, owner, owner);
      chmodSync(TEMPORARY, permissions);
      assert.not(await locked(undefined, TEMPORARY), `not in /tmp if it is ${why}`);
    }
  });

  test(`without a place for the lock a ${kind} does not wait`, async () => {
    const world = await World.open();
    mkdirSync(TEMPORARY);
    for (let count = 1; count <= 2; count++) {
      KINDS[kind].start(world, 60, { XDG_RUNTIME_DIR: undefined });
      await until(() => world.asked === count);
    }
  });

  test(`two networks that share a runtime directory have two locks of a ${kind}`, async () => {
    const [here, there] = [await World.open(), await World.open()];
    KINDS[kind].start(here);
    await until(() => here.asked === 1);
    KINDS[kind].start(there, 60, { XDG_RUNTIME_DIR: here.runtime });
    await until(() => there.asked === 1);
    assert.is(readdirSync(here.runtime).length, 2);
  });
}

function linkTo(world: World, name: string): string {
  const link = join(world.directory, "link");
  symlinkSync(join(world.directory, name), link);
  return link;
}

test("root does not use another user's folder, which sudo can keep in XDG_RUNTIME_DIR", async () => {
  const world = await World.open();
  world.answer("no");
  // Otherwise root does not need to ask.
  world.asRoot("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
  const root = ["--bounding-set=-net_bind_service"];
  const library = `require(${LIBRARY}).ensurePorts({ start: 80, via: ["pkexec"] }).catch(() => {})`;
  for (const argv of [
    [PORTSHIM, "--start=80", "--via=pkexec", "--", "/bin/true"],
    [join(world.directory, "bin", "node"), "--eval", library],
  ]) {
    world.asRoot("rm -rf /run/user/0; mkdir -m 700 /run/user/0");
    const before = world.asked;
    await world.run(argv, {}, root).ended;
    assert.is(world.asked, before + 1);
    assert.equal(readdirSync(world.runtime), []);
    assert.is(world.asRoot("ls /run/user/0 | wc -l"), "1\n");
  }
});

test("a run that cannot prompt neither takes the lock nor waits for it", async () => {
  const world = await World.open();
  const quiet = [
    ["check"],
    ["--dry-run", "--start=80", "--", "/bin/true"],
    ["--help"],
    ["-h", "--", "/bin/true"],
    ["--version", "--", "/bin/true"],
    ["persist", "--help"],
    ["persist", "--dry-run"],
    ["guard"],
    ["guard", "--apply", "--dry-run"],
  ];
  for (const argv of quiet) await world.run([PORTSHIM, ...argv]).ended;
  assert.equal(readdirSync(world.runtime), []);
  const holder = KINDS.launcher.start(world);
  await until(() => world.asked === 1);
  for (const argv of quiet) await world.run([PORTSHIM, ...argv]).ended;
  assert.equal([opened(holder), world.asked], [1, 1], "the lock is held");
});

test("without flock(1) the library has no lock, and works", async () => {
  const world = await World.open();
  rmSync(join(world.directory, "bin", "flock"));
  for (let count = 1; count <= 2; count++) {
    KINDS.library.start(world);
    await until(() => world.asked === count);
  }
});

test.run();
