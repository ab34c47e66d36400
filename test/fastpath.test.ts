import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Options, parse } from "../shim/lib/options.js";
import { isSatisfied } from "../shim/lib/plan.js";
import { ROUTES } from "../shim/lib/route.js";
import { resolve } from "../shim/lib/sysctl.js";
import { FILE, NAME } from "../shim/lib/threshold.js";
import { wanted } from "../shim/lib/wanted.js";
import { STUB, which } from "./need.js";
import { suite } from "./suite.js";
import { Namespace } from "./sysctl-namespace.js";
import { type Entry, grow, growTame, plant, quote, Random, seed, show, shrink, type Tree, treeCount } from "./tree.js";

const test = suite("the stub skips the helper only where it would find nothing to do", "root", "shells");

/**
 * How each shell is started, and for how many of the trees: dash is what most servers pass through. `mawk`: where there is
 * one, as in every image of Debian's, the stub looks at a glance, and only at a second one with grep.
 */
const SHELLS = {
  "dash with mawk": { program: "dash", share: 1, mawk: true },
  dash: { program: "dash", share: 0.5, mawk: false },
  bash: { program: "bash", share: 0.25, mawk: true },
  busybox: { program: "busybox sh", share: 0.25, mawk: true },
} as const;

const MAWK = "/usr/bin/mawk";

type Shell = keyof typeof SHELLS;

/** As many wrong starts as a person reads. */
const ENOUGH = 4;

/** What the stub is asked, and where. */
interface Start {
  readonly tree: Tree;
  /** The threshold in force. */
  readonly live: number;
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
}

/** A namespace in which the stub can be started, beside a helper that cannot help. */
class Stage {
  readonly #stub: string;
  readonly #path: string;

  private constructor(readonly namespace: Namespace) {
    const { shared } = namespace;
    this.#stub = join(shared, "portshim");
    this.#path = join(shared, "bin");
    copyFileSync(STUB, this.#stub);
    copyFileSync(join(STUB, "..", "slow.sh"), join(shared, "slow.sh"));
    mkdirSync(this.#path);
    for (const program of ["cat", "env", "grep", "od", "readlink"]) {
      symlinkSync(which(program) as string, join(this.#path, program));
    }
    // Not Node but a stand-in, to observe whether the helper is started; 125 has the stub stop whatever the options.
    writeFileSync(join(this.#path, "node"), "#!/bin/sh\necho asked\nexit 125\n");
    chmodSync(join(this.#path, "node"), 0o755);
    mkdirSync(join(shared, "lib"));
    writeFileSync(join(shared, "lib", "main.js"), "");
  }

  static async open(): Promise<Stage> {
    return new Stage(await Namespace.open());
  }

  /** Whether the stub started the command without asking the helper. */
  async skips(shell: Shell, { tree, live, argv, env }: Start): Promise<boolean> {
    const variables = Object.entries({ PATH: this.#path, HOME: "/", ...env }).map(([name, value]) =>
      word(`${name}=${value}`),
    );
    const program = SHELLS[shell].program.replace(/^\w+/, (name) => which(name) as string);
    const uproot = plant(tree, this.namespace.root);
    // No more than a container that sees no host has it.
    const host = join(this.namespace.root, "run/host");
    if (!tree.some(({ path }) => path.startsWith("run/host/"))) rmSync(host, { recursive: true });
    const mawk = SHELLS[shell].mawk ? ":" : `mount --bind /dev/null ${MAWK}`;
    const again = SHELLS[shell].mawk ? ":" : `umount ${MAWK}`;
    try {
      const output = await this.namespace
        .run(
          `echo ${live} >${FILE}; ${mawk}; env -i ${variables.join(" ")} ${program} ${this.#stub} ${argv.map(word).join(" ")} </dev/null 2>/dev/null; ${again}`,
        )
        .catch((error) => `${error}`);
      if (output !== "started\n" && output !== "asked\n") {
        throw new Error(`${shell} wrote ${quote(output)}\n${shown({ tree, live, argv, env })}`);
      }
      return output === "started\n";
    } finally {
      uproot();
      mkdirSync(host, { recursive: true });
    }
  }

  /** Has every grep that the stub starts leave a mark; returns what tells whether there was one since the last call. */
  watchGrep(): () => boolean {
    const [grep, mark] = [join(this.#path, "grep"), join(this.namespace.shared, "grepped")];
    rmSync(grep);
    writeFileSync(grep, `#!/bin/sh\necho >>${mark}\nexec ${which("grep")} "$@"\n`);
    chmodSync(grep, 0o755);
    writeFileSync(mark, "");
    chmodSync(mark, 0o666);
    return () => {
      const found = readFileSync(mark, "latin1") !== "";
      writeFileSync(mark, "");
      return found;
    };
  }

  /** Whether the helper, in the same place, would have had nothing to do and nothing to say. */
  nothingToDo({ tree, live, argv, env }: Start): boolean {
    let options: Options;
    try {
      options = parse(
        argv,
        env,
        ROUTES.map(({ name }) => name),
      ).options;
    } catch {
      return false;
    }
    if (options.help || options.version || options.dryRun || options.verbose || options.user !== undefined)
      return false;
    const { root } = this.namespace;
    const uproot = plant(tree, root);
    const goal = wanted(options.start, resolve(root), resolve(join(root, "run/host")));
    uproot();
    return isSatisfied(live, goal.value);
  }
}

function word(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function shown({ tree, live, argv, env }: Start): string {
  return `  at ${live}, arguments ${quote(argv.join(" "))}, environment ${quote(JSON.stringify(env))}\n${show(tree)}`;
}

const COMMAND = ["--", "/bin/echo", "started"];

/** The container's tree, and sometimes the host's and the files of procps, with the threshold near what they ask for. */
function start(random: Random): Start {
  const low = random.pick([0, 1, 70, 79, 80, 80, 80, 80]);
  const enough = ["80", "80", "443", "1024", String(low)].filter((value) => Number(value) >= low);
  const tame = random.chance(0.7);
  const next = () => (tame ? growTame(random, enough, String(Math.max(0, low - 1))) : grow(random));
  const container = next().concat(random.chance(0.2) ? legacy(random, next()) : []);
  const host = random.chance(0.4) ? next().concat(random.chance(0.3) ? legacy(random, next()) : []) : [];
  const tree = container.concat(onHost(host));
  if (tame) return { tree, live: low, ...invocation(random) };
  const asked = tree.flatMap(({ pieces }) => (pieces ?? []).flatMap((piece) => numbers(piece)));
  const live = random.chance(0.5) ? low : random.pick([80, ...asked]);
  return { tree, live: Math.max(0, live + random.pick([0, 0, 0, -1, 1])), ...invocation(random) };
}

function numbers(piece: string): number[] {
  return (piece.slice(0, 200).match(/\d+/g) ?? []).map(Number).filter((number) => number <= 1024);
}

/** /etc/sysctl.conf, as the first file of a tree. */
function legacy(random: Random, tree: Tree): Entry[] {
  const body = tree.find(({ pieces }) => pieces) ?? { pieces: [`${random.pick(["#", ""])}${NAME}=443\n`] };
  return [{ ...body, path: "etc/sysctl.conf" }];
}

const NUMBERS = [
  "",
  "0",
  "1",
  "79",
  "80",
  "81",
  "1024",
  "1025",
  "080",
  "0x50",
  "-1",
  "80 ",
  " 80",
  "8o",
  "99999",
  "*",
  "[0-9]",
  "80\n",
  "٨",
];
const SECONDS = ["", "1", "60", "120", "999", "1000", "86400", "86401", "0", "01", "1e2", "-5", "x", "9 9"];
const SWITCHES = ["", "", "0", "1", "1", "2", "yes", "01", "1 "];

/** Mostly nothing but the command; else options and variables, some of them no good. */
function invocation(random: Random): Pick<Start, "argv" | "env"> {
  const env: Record<string, string> = random.chance(0.15) ? odd(random) : {};
  if (random.chance(0.65)) return { argv: COMMAND, env };
  const set = (name: string, values: readonly string[]) => {
    if (random.chance(0.25)) env[name] = random.pick(values);
  };
  set("PORTSHIM_START", NUMBERS);
  set("PORTSHIM_TIMEOUT", SECONDS);
  set("PORTSHIM_OPTIONAL", SWITCHES);
  set("PORTSHIM_QUIET", SWITCHES);
  if (random.chance(0.1))
    env[random.pick(["PORTSHIM_VERBOSE", "PORTSHIM_DRY_RUN", "PORTSHIM_VIA", "PORTSHIM_USER"])] = random.pick(SWITCHES);
  const argv: string[] = [];
  while (random.chance(0.5)) argv.push(...option(random));
  const end = random.chance(0.95)
    ? COMMAND
    : random.pick([["--"], [], ["--", ""], ["--", "-x"], ["/bin/echo", "started"], ["--", "--"]]);
  return { argv: [...argv, ...end], env };
}

function option(random: Random): string[] {
  const joined = (flag: string, value: string) => (random.chance(0.5) ? [`${flag}=${value}`] : [flag, value]);
  const forms = [
    () => joined("--start", random.pick(NUMBERS)),
    () => joined("--start", random.pick(["80", "0", "1024"])),
    () => joined("--timeout", random.pick(SECONDS)),
    () => ["--optional"],
    () => ["--quiet"],
    () => [
      random.pick([
        "--quiet=1",
        "--optional=",
        "--start",
        "--verbose",
        "--dry-run",
        "--help",
        "-q",
        "",
        "x",
        "--via=write",
        "--user=1000",
        "--user",
        "--version",
      ]),
    ],
  ];
  return random.pick(forms)();
}

/** What a server's environment may hold, and what a shell or grep takes for its own. */
function odd(random: Random): Record<string, string> {
  return random.pick([
    { LC_ALL: "C.UTF-8" },
    { LC_ALL: "C.UTF-8", LANG: "tr_TR.UTF-8" },
    { POSIXLY_CORRECT: "1" },
    { IFS: "0" },
    { GREP_OPTIONS: "-v", GREP_COLORS: "mt=01;31", GREP_COLOR: "1" },
    { portshim_live: "0", portshim_wanted: "1024", portshim_seen: "...", portshim_1: "x", portshim_unsure: "" },
    { SHELLOPTS: "noglob" },
    { SHELLOPTS: "nounset" },
    { SHELLOPTS: "errexit" },
    { GLOBIGNORE: "*" },
    { GLOBIGNORE: "/etc/sysctl.d/*" },
    { BASHOPTS: "nullglob" },
    { BASHOPTS: "failglob" },
    { BASHOPTS: "nocasematch:nocaseglob" },
    { BASHOPTS: "dotglob:extglob:globstar" },
    { BASHOPTS: "compat31" },
    { "discovery.type": "x", "my-flag": "1" },
    { x: `1\n${FILE}:0\n/etc/sysctl.d/a.conf:${NAME}=0` },
    { "a*b": `${NAME}=0` },
  ]);
}

for (const shell of Object.keys(SHELLS) as Shell[]) {
  test(`on ${shell}, over random trees, thresholds, options and variables (TREES=…, SEED=…)`, async () => {
    const first = seed();
    const starts = Math.ceil(treeCount(2000) * SHELLS[shell].share);
    const count = { skipped: 0, unsure: 0, started: 0 };
    const wrong: string[] = [];
    let next = 0;

    const work = async () => {
      const stage = await Stage.open();
      try {
        while (next < starts && wrong.length < ENOUGH) {
          const index = next++;
          const asked = start(new Random(first, index));
          const skips = await stage.skips(shell, asked);
          const nothingToDo = stage.nothingToDo(asked);
          count.started++;
          if (skips) count.skipped++;
          else if (nothingToDo) count.unsure++;
          if (!skips || nothingToDo) continue;
          const tree = await shrink(asked.tree, async (smaller) => {
            const again = { ...asked, tree: smaller };
            return !stage.nothingToDo(again) && (await stage.skips(shell, again));
          });
          wrong.push(`start ${index}: the helper has something to do, and is not asked\n${shown({ ...asked, tree })}`);
        }
      } finally {
        await stage.namespace.close();
      }
    };
    await Promise.all([work(), work()]);

    console.log(`${count.started} starts: ${count.skipped} skipped the helper, ${count.unsure} more could have`);
    assert.is(wrong.length, 0, `SEED=${first}\n${wrong.join("\n")}`);
    assert.ok(count.skipped > starts / 10, "the helper was hardly ever skipped");
  });
}

function file(path: string, ...lines: string[]): Entry {
  return { path, pieces: lines.map((text) => `${text}\n`) };
}

const HEADER = [
  "#  This file is part of systemd.",
  "#",
  "#  systemd is free software; you can redistribute it and/or modify it",
  "#  under the terms of the GNU Lesser General Public License as published by",
  "#  the Free Software Foundation; either version 2.1 of the License, or",
  "#  (at your option) any later version.",
  "",
  "# See sysctl.d(5) and core(5) for documentation.",
  "",
];

/** What Fedora 40 and later have below / before anybody changes anything, comments shortened. */
const FEDORA: Tree = [
  file(
    "usr/lib/sysctl.d/10-default-yama-scope.conf",
    "# When yama is enabled in the kernel it might be used to filter any user",
    "# space access which requires PTRACE_MODE_ATTACH like ptrace attach, access",
    "# to /proc/PID/{mem,personality,stack,syscall}, and the syscalls",
    "# process_vm_readv and process_vm_writev which are used for interprocess",
    "# services, communication and introspection (like synchronisation, signaling,",
    "# debugging, tracing and profiling) of processes.",
    "kernel.yama.ptrace_scope = 0",
  ),
  file(
    "usr/lib/sysctl.d/50-coredump.conf",
    ...HEADER,
    "# Pipe the core file to systemd-coredump. The systemd-coredump process spawned by",
    "# the kernel will start systemd-coredump@.service to perform the actual dump.",
    "kernel.core_pattern=|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h %d %F",
    "",
    "# Allow 16 coredumps to be dispatched in parallel by the kernel.",
    "kernel.core_pipe_limit=16",
    "",
    "fs.suid_dumpable=2",
  ),
  file(
    "usr/lib/sysctl.d/50-default.conf",
    ...HEADER,
    "# To override settings in this file, create a local file in /etc",
    "# (e.g. /etc/sysctl.d/90-override.conf), and put any assignments",
    "# there.",
    "",
    "# System Request functionality of the kernel (SYNC)",
    "#",
    "# Use kernel.sysrq = 1 to allow all keys.",
    "# See https://docs.kernel.org/admin-guide/sysrq.html for a list",
    "# of values and keys.",
    "kernel.sysrq = 16",
    "",
    "# Append the PID to the core filename",
    "kernel.core_uses_pid = 1",
    "",
    "# Source route verification",
    "net.ipv4.conf.default.rp_filter = 2",
    "net.ipv4.conf.*.rp_filter = 2",
    "-net.ipv4.conf.all.rp_filter",
    "",
    "# Do not accept source routing",
    "net.ipv4.conf.default.accept_source_route = 0",
    "net.ipv4.conf.*.accept_source_route = 0",
    "-net.ipv4.conf.all.accept_source_route",
    "",
    "# Promote secondary addresses when the primary address is removed",
    "net.ipv4.conf.default.promote_secondaries = 1",
    "net.ipv4.conf.*.promote_secondaries = 1",
    "-net.ipv4.conf.all.promote_secondaries",
    "",
    "# ping(8) without CAP_NET_ADMIN and CAP_NET_RAW",
    "-net.ipv4.ping_group_range = 0 2147483647",
    "",
    "# Fair Queue CoDel packet scheduler to fight bufferbloat",
    "-net.core.default_qdisc = fq_codel",
    "",
    "# Enable hard and soft link protection",
    "fs.protected_hardlinks = 1",
    "fs.protected_symlinks = 1",
    "",
    "# Enable regular file and FIFO protection",
    "fs.protected_regular = 1",
    "fs.protected_fifos = 1",
    "",
    "vm.max_map_count=1048576",
  ),
  file("usr/lib/sysctl.d/50-libkcapi-optmem_max.conf", "# See sysctl.d(5).", "net.core.optmem_max = 81920"),
  file(
    "usr/lib/sysctl.d/50-pid-max.conf",
    ...HEADER,
    "# Bump the numeric PID range to its maximum of 2^22 (from the in-kernel default of 2^16).",
    "kernel.pid_max = 4194304",
  ),
  { path: "etc/sysctl.d/99-sysctl.conf", link: "../sysctl.conf" },
  file(
    "etc/sysctl.conf",
    "# sysctl settings are defined through files in",
    "# /usr/lib/sysctl.d/, /run/sysctl.d/, and /etc/sysctl.d/.",
    "#",
    "# Vendors settings live in /usr/lib/sysctl.d/.",
    "# To override a whole file, create a new file with the same in",
    "# /etc/sysctl.d/ and put new settings there. To override",
    "# only specific settings, add a file with a lexically later",
    "# name in /etc/sysctl.d/ and put new settings there.",
    "#",
    "# For more information, see sysctl.conf(5) and sysctl.d(5).",
  ),
];

/** What this machine has from its packages: on Debian those of systemd and procps. */
function ours(): Tree {
  const directory = "usr/lib/sysctl.d";
  const files = readdirSync(`/${directory}`, "latin1").map((name) => `${directory}/${name}`);
  return [...files, ...["etc/sysctl.conf"].filter((path) => existsSync(`/${path}`))].map((path) => ({
    path,
    pieces: [readFileSync(`/${path}`, "latin1")],
  }));
}

function onHost(tree: Tree): Tree {
  return tree.map((entry) => ({ ...entry, path: `run/host/${entry.path}` }));
}

const web = (text: string): Tree => [file("etc/sysctl.d/80-web.conf", text)];

const PLAIN: readonly (readonly [string, Tree])[] = [
  ["no drop-ins", []],
  ["one that asks for 80", web(`${NAME} = 80`)],
  ["one without blanks", web(`${NAME}=80`)],
  ["one by its path", web(`${NAME.replaceAll(".", "/")} = 80`)],
  ["one that may fail", web(`-${NAME} = 80`)],
  ["a comment about another value", web(`# ${NAME} = 70`)],
  ["a comment without a blank", web(`#${NAME}=70`)],
  ["Windows' line ends", web(`${NAME} = 80\r`)],
  ["the stock files of this machine", ours()],
  ["the stock files of this machine, and one", [...ours(), ...web(`${NAME} = 80`)]],
  ["Fedora's stock files", FEDORA],
  ["Fedora's stock files, and one", [...FEDORA, ...web(`${NAME} = 80`)]],
  ["Fedora's stock files on the host as well", [...FEDORA, ...onHost(FEDORA)]],
  ["one on the host", [...FEDORA, ...onHost([...FEDORA, ...web(`${NAME} = 80`)])]],
];

const A_MILLION = 1_000_000;

/** Where the stub once started the command, or was busy for hours, and the helper was to be asked. */
const TRAPS: readonly (readonly [string, Partial<Start>])[] = [
  ["braces in a glob", { tree: web("net.ipv4.ip_unpriv*{_start,_x} = 70") }],
  ["a glob that ends with a slash", { tree: web("net/ipv4/ip_unprivileged_port_s*t/ = 70") }],
  ["a glob that ends with a dot", { tree: web("net.ipv4.ip_unprivileged_port_s*t. = 70") }],
  ["a backslash in a glob", { tree: web("net.ipv4.ip_unpriv*\\start = 70") }],
  ["a file's name that looks like a comment", { tree: [file("etc/sysctl.d/a.conf:#.conf", `${NAME} = 70`)] }],
  ["a comment behind the value", { tree: web(`${NAME} = 0 # was ${NAME} = 80`) }],
  ["half the name behind the value", { tree: web(`${NAME} = 70 ged_port_start=80`) }],
  ["the name behind a glob's value", { tree: web(`net.ipv4.ip_unprivileged_port_star* = 70 ${NAME} = 80`) }],
  ["half the name behind a glob's value", { tree: web("net.ipv4.ip_unprivileged_port_star* = 70 ged_port_start=80") }],
  ["a NUL before it", { tree: web(`#\0${NAME} = 70`) }],
  ["a CR before it", { tree: web(`#\r${NAME} = 70`) }],
  [
    "no final line end, and digits in the next file",
    { tree: [{ path: "etc/sysctl.d/1.conf", pieces: [`${NAME} = 8`] }, file("etc/sysctl.d/2.conf", "0")] },
  ],
  [
    "a link of the host's to a file of the host's",
    {
      tree: onHost([
        { path: "etc/sysctl.d/web.conf", link: "/etc/static/web.conf" },
        file("etc/static/web.conf", `${NAME} = 70`),
      ]),
    },
  ],
  ["a line with a million blanks", { tree: web(`${NAME} = 70${" ".repeat(A_MILLION)}x`) }],
  ["after a line of a million letters", { tree: web(`#${"x".repeat(A_MILLION)}\n${NAME} = 70`) }],
  ["the first of two --start is no number", { argv: ["--start=x", "--start=80", ...COMMAND] }],
  ["the first of two --timeout is none", { argv: ["--timeout=0", "--timeout=5", ...COMMAND] }],
  [
    "PORTSHIM_START is no number, and --start hides it",
    { argv: ["--start=80", ...COMMAND], env: { PORTSHIM_START: "x" } },
  ],
  ["bash's failglob, which ends a function silently", { live: 1024, env: { BASHOPTS: "failglob" } }],
];

for (const shell of Object.keys(SHELLS) as Shell[]) {
  test(`on ${shell}, what was wrong once is not again`, async () => {
    const wrong: string[] = [];
    for (const [name, trap] of TRAPS) {
      const stage = await Stage.open();
      try {
        const asked = { tree: [], live: 80, argv: COMMAND, env: {}, ...trap };
        assert.not(stage.nothingToDo(asked), name);
        const skips = await stage.skips(shell, asked).catch(() => "no answer");
        if (skips) wrong.push(`${name}: ${skips}`);
      } finally {
        await stage.namespace.close();
      }
    }
    assert.equal(wrong, []);
  });
}

test("where it is plain that nothing is to be done, it does skip the helper", async () => {
  const stage = await Stage.open();
  const usedGrep = stage.watchGrep();
  try {
    const lazy: string[] = [];
    const slow: string[] = [];
    for (const shell of Object.keys(SHELLS) as Shell[]) {
      for (const [name, tree] of PLAIN) {
        const asked = { tree, live: 80, argv: COMMAND, env: {} };
        assert.ok(stage.nothingToDo(asked), name);
        if (!(await stage.skips(shell, asked))) lazy.push(`${shell}: ${name}`);
        if (usedGrep()) slow.push(`${shell}: ${name}`);
      }
    }
    assert.equal(lazy, []);
    // What lies on a host is looked at with grep.
    const glances = PLAIN.filter(([name]) => !name.endsWith("on the host") && !name.includes("on the host as well"));
    assert.equal(
      slow.filter((name) => name.startsWith("dash with mawk")),
      PLAIN.filter((plain) => !glances.includes(plain)).map(([name]) => `dash with mawk: ${name}`),
    );
    assert.is(slow.filter((name) => name.startsWith("dash: ")).length, PLAIN.length);
  } finally {
    await stage.namespace.close();
  }
});

test.run();
