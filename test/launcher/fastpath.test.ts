import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";

import type { Options } from "../../shim/lib/attempt/options.js";
import { parse } from "../../shim/lib/cli/arguments.js";
import { wanted } from "../../shim/lib/facts/facts.js";
import { isSatisfied, SETTING, SETTING_FILE } from "../../shim/lib/here/threshold.js";
import { resolve } from "../../shim/lib/sysctl/resolve.js";
import { EMPTY_REPLY, PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";
import { Namespace } from "../sysctl/namespace.js";
import {
  type Entry,
  grow,
  growTame,
  plant,
  quote,
  Random,
  seed,
  show,
  shrink,
  type Tree,
  treeCount,
} from "../sysctl/tree.js";

const test = suite("the launcher skips the helper only if it would find nothing to do", "root", "tools");
const refusing = suite("a kernel that refuses openat2", "root", "tools", "compiler");

/** Most wrong starts to show. */
const ENOUGH = 4;

/** The user that is root in a Namespace. */
const ORDINARY_ID = 65534;

/** A start, and its surroundings. */
interface Start {
  readonly tree: Tree;
  /** The threshold in force. */
  readonly live: number;
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
}

/** A namespace in which the launcher can be started, with a helper that does nothing. */
class Stage {
  readonly #launcher: string;
  readonly #environment: Record<string, string>;

  private constructor(readonly namespace: Namespace) {
    const folder = (name: string) => {
      const path = join(namespace.shared, name);
      mkdirSync(path);
      return path;
    };
    this.#launcher = join(folder("launcher"), "portshim");
    copyFileSync(PORTSHIM, this.#launcher);
    writeFileSync(join(folder("lib"), "main.js"), "");
    // Not Node but a stand-in, to observe whether the helper is started; an empty reply and 64 end the launcher whatever
    // the options.
    const programs = folder("bin");
    writeFileSync(join(programs, "node"), `#!/bin/sh\necho asked\n${EMPTY_REPLY}\nexit 64\n`);
    chmodSync(join(programs, "node"), 0o755);
    // The lock must not be on this machine.
    const runtime = folder("runtime");
    chmodSync(runtime, 0o700);
    chownSync(runtime, ORDINARY_ID, ORDINARY_ID);
    this.#environment = { PATH: programs, XDG_RUNTIME_DIR: runtime };
  }

  static async open(): Promise<Stage> {
    return new Stage(await Namespace.open());
  }

  /** Whether the launcher, run by a command if one is given, starts its own without asking the helper. */
  async skips({ tree, live, argv, env }: Start, before: readonly string[] = []): Promise<boolean> {
    const variables = Object.entries({ ...this.#environment, ...env }).map(([name, value]) => `${name}=${value}`);
    const words = ["/usr/bin/env", "-i", ...variables, ...before, this.#launcher, ...argv].map(word).join(" ");
    return this.#with(tree, async () => {
      const script = `echo ${live} >${SETTING_FILE}; ${words} </dev/null 2>/dev/null`;
      const output = await this.namespace.run(script).catch((error) => `${error}`);
      if (output === "started\n" || output === "asked\n") return output === "started\n";
      throw new Error(`the launcher wrote ${quote(output)}\n${shown({ tree, live, argv, env })}`);
    });
  }

  /** Whether the helper would have had nothing to do in the same situation. */
  nothingToDo({ tree, live, argv, env }: Start): Promise<boolean> {
    let options: Options;
    try {
      options = parse(argv, env).options;
    } catch {
      return Promise.resolve(false);
    }
    if (options.help || options.version || options.dryRun || options.verbose || options.user !== undefined)
      return Promise.resolve(false);
    const { root } = this.namespace;
    return this.#with(tree, async () => {
      process.seteuid?.(ORDINARY_ID);
      try {
        return isSatisfied(
          live,
          wanted(
            options.start,
            () => resolve(root),
            () => resolve(join(root, "run/host")),
          ).value,
        );
      } finally {
        process.seteuid?.(0);
      }
    });
  }

  async #with<T>(tree: Tree, action: () => Promise<T>): Promise<T> {
    const host = join(this.namespace.root, "run/host");
    const uproot = plant(tree, this.namespace.root);
    // No more than a container that sees no host has it.
    if (!tree.some(({ path }) => path.startsWith("run/host/"))) rmSync(host, { recursive: true });
    try {
      return await action();
    } finally {
      uproot();
      rmSync(host, { recursive: true, force: true });
      mkdirSync(host);
    }
  }
}

function word(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function shown({ tree, live, argv, env }: Start): string {
  return `  at ${live}, arguments ${quote(argv.join(" "))}, environment ${quote(JSON.stringify(env))}\n${show(tree)}`;
}

const COMMAND = ["--", "/bin/echo", "started"];

/**
 * The container's tree, and sometimes the host's and the files of procps, with the threshold near what they ask for.
 */
function start(random: Random): Start {
  const low = random.pick([0, 1, 70, 79, 80, 80, 80, 80, 443, 1024]);
  const enough =
    low > 80 && random.chance(0.8)
      ? [String(low)]
      : ["80", "80", "443", "1024", String(low)].filter((value) => Number(value) >= low);
  const tame = random.chance(0.7);
  const next = () => (tame ? growTame(random, enough, String(Math.max(0, low - 1))) : grow(random));
  const container = next().concat(
    random.chance(0.2) ? legacy(random, next()) : [],
    random.chance(0.1) ? odd(random) : [],
  );
  const host = random.chance(0.4)
    ? next().concat(random.chance(0.3) ? legacy(random, next()) : [], random.chance(0.3) ? linked(random, enough) : [])
    : [];
  const tree = unique(container.concat(onHost(host)));
  if (tame) return { tree, live: low, ...invocation(random) };
  const asked = tree.flatMap(({ pieces }) => (pieces ?? []).flatMap((piece) => numbers(piece)));
  const live = random.chance(0.5) ? low : random.pick([80, ...asked]);
  return { tree, live: Math.max(0, live + random.pick([0, 0, 0, -1, 1])), ...invocation(random) };
}

/** Without entries at the path of another one, or below it. */
function unique(tree: Tree): Tree {
  const isBelow = (path: string, other: string) => path === other || path.startsWith(`${other}/`);
  return tree.filter(
    ({ path }, at) =>
      !tree.some(
        (other, index) =>
          (index < at && isBelow(other.path, path)) ||
          (index !== at && path !== other.path && isBelow(path, other.path)) ||
          (index < at && path === other.path),
      ),
  );
}

const FIFO = { node: ["p"] };
/** /dev/zero: it never ends. */
const DEVICE = { node: ["c", "1", "5"] };

/** Anything but a short file that can be read. */
function odd(random: Random): Entry[] {
  const path = `${random.pick(["etc", "run", "usr/lib"])}/sysctl.d/${random.pick(["00-odd", "60-odd", "99-odd"])}.conf`;
  const line = `${SETTING}=${random.pick(["80", "79", "443"])}\n`;
  const forms = [
    () => [{ path, ...FIFO }],
    () => [{ path, ...DEVICE }],
    () => [{ path }],
    () => [
      { path, link: random.pick(["nowhere.conf", "60-odd.conf", "/etc/sysctl.d", "../sysctl.d/fifo"]) },
      { path: "etc/sysctl.d/fifo", ...FIFO },
    ],
    () => [{ path, pieces: [line], isSecret: true }],
    () => [{ path, pieces: padded(65536 + random.below(5) - 2, line) }],
    () => [{ path, pieces: padded(1 + random.below(200_000), line) }],
  ];
  return random.pick(forms)();
}

/** A file of so many bytes, or a little more, that ends with this line. */
function padded(length: number, line: string): string[] {
  const comment = `#${"x".repeat(98)}\n`;
  const rest = Math.max(0, length - line.length);
  return [comment.repeat(rest / comment.length), "\n".repeat(rest % comment.length), line];
}

/** Links of a host, which from here would lead to other files. */
function linked(random: Random, values: readonly string[]): Entry[] {
  const pieces = [`${SETTING}=${random.chance(0.6) ? random.pick(values) : random.pick(["79", "80", "443"])}\n`];
  const target = { path: "etc/static/web.conf", pieces };
  const link = random.pick([
    "/etc/static/web.conf",
    "../static/web.conf",
    "../../../../../../../../../etc/static/web.conf",
    "/../../etc/static/../static/web.conf",
    "/etc/static/loop",
    "/etc/static/again/web.conf",
    "/etc/static/nowhere",
  ]);
  const further = [
    { path: "etc/static/loop", link: "loop" },
    { path: "etc/static/again", link: random.pick([".", "/etc/static", "../../../etc/static"]) },
  ];
  const folder = random.pick(["etc", "usr/lib", "run"]);
  if (random.chance(0.7)) return [{ path: `${folder}/sysctl.d/70-linked.conf`, link }, target, ...further];
  // The folder itself, as on a host whose configuration is elsewhere.
  return [
    { path: `${folder}/sysctl.d`, link: random.pick(["/etc/static", "../etc/static", "../../../../etc/static"]) },
    target,
  ];
}

function numbers(piece: string): number[] {
  return (piece.slice(0, 200).match(/\d+/g) ?? []).map(Number).filter((number) => number <= 1024);
}

/** /etc/sysctl.conf, as the first file of a tree. */
function legacy(random: Random, tree: Tree): Entry[] {
  const body = tree.find(({ pieces }) => pieces) ?? { pieces: [`${random.pick(["#", ""])}${SETTING}=443\n`] };
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

/** Mostly nothing but the command; else options and variables, some of them invalid. */
function invocation(random: Random): Pick<Start, "argv" | "env"> {
  const env: Record<string, string> = random.chance(0.1) ? { ...random.pick(OTHER_VARIABLES) } : {};
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

/** Variables that resemble ours. */
const OTHER_VARIABLES: readonly Record<string, string>[] = [
  { PORTSHIM: "1", PORTSHIM_: "1024", PORTSHIM_STARTS: "1024" },
  { portshim_start: "1024", XPORTSHIM_START: "1024", " PORTSHIM_START": "1024" },
  { PORTSHIM_START: "80\nPORTSHIM_START=1024" },
  { x: `1\nPORTSHIM_START=1024\nPORTSHIM_USER=0` },
];

test("over random trees, thresholds, options and variables (TREES=…, SEED=…)", async () => {
  const first = seed();
  const starts = treeCount(800);
  const count = { skipped: 0, unsure: 0, started: 0, above: 0 };
  const wrong: string[] = [];
  let next = 0;

  const work = async (stage: Stage) => {
    while (next < starts && wrong.length < ENOUGH) {
      const index = next++;
      const asked = start(new Random(first, index));
      const skips = await stage.skips(asked);
      const nothingToDo = await stage.nothingToDo(asked);
      count.started++;
      if (skips && asked.live > 80) count.above++;
      if (skips) count.skipped++;
      else if (nothingToDo) count.unsure++;
      if (!skips || nothingToDo) continue;
      const tree = await shrink(asked.tree, async (smaller) => {
        const again = { ...asked, tree: smaller };
        return !(await stage.nothingToDo(again)) && (await stage.skips(again));
      });
      wrong.push(`start ${index}: the helper has something to do, and is not asked\n${shown({ ...asked, tree })}`);
    }
  };
  const stages = [await Stage.open(), await Stage.open()];
  try {
    await Promise.all(stages.map(work));
  } finally {
    for (const { namespace } of stages) await namespace.close();
  }

  console.log(
    `${count.started} starts: ${count.skipped} skipped the helper (${count.above} above 80), ${count.unsure} more could have`,
  );
  assert.is(wrong.length, 0, `SEED=${first}\n${wrong.join("\n")}`);
  assert.ok(count.skipped > starts / 10, "the helper was hardly ever skipped");
});

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

/** The stock files of Fedora 40 and later, comments shortened. */
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

const PLAIN: readonly (readonly [name: string, tree: Tree, live?: number])[] = [
  ["no drop-ins", []],
  ["one that asks for 80", web(`${SETTING} = 80`)],
  ["one without blanks", web(`${SETTING}=80`)],
  ["one by its path", web(`${SETTING.replaceAll(".", "/")} = 80`)],
  ["one that may fail", web(`-${SETTING} = 80`)],
  ["a comment about another value", web(`# ${SETTING} = 70`)],
  ["a comment without a blank", web(`#${SETTING}=70`)],
  ["Windows' line ends", web(`${SETTING} = 80\r`)],
  ["the stock files of this machine", ours()],
  ["the stock files of this machine, and one", [...ours(), ...web(`${SETTING} = 80`)]],
  ["Fedora's stock files", FEDORA],
  ["Fedora's stock files, and one", [...FEDORA, ...web(`${SETTING} = 80`)]],
  ["Fedora's stock files on the host as well", [...FEDORA, ...onHost(FEDORA)]],
  ["one on the host", [...FEDORA, ...onHost([...FEDORA, ...web(`${SETTING} = 80`)])]],
  ["one for 443", web(`${SETTING} = 443`), 443],
  ["one for 443 with Fedora's stock files", [...FEDORA, ...web(`${SETTING.replaceAll(".", "/")}=443`)], 443],
  ["a fifo", [{ path: "etc/sysctl.d/x.conf", ...FIFO }]],
  ["a device", [{ path: "etc/sysctl.d/x.conf", ...DEVICE }]],
  ["a folder", [{ path: "etc/sysctl.d/x.conf" }]],
  ["a link to nothing", [{ path: "etc/sysctl.d/x.conf", link: "/nowhere" }]],
  [
    "a link to a fifo",
    [
      { path: "etc/sysctl.d/x.conf", link: "y" },
      { path: "etc/sysctl.d/y", ...FIFO },
    ],
  ],
  ["a fifo for /etc/sysctl.conf", [{ path: "etc/sysctl.conf", ...FIFO }]],
  ["a fifo for a folder", onHost([{ path: "etc/sysctl.d", ...FIFO }])],
  ["what cannot be read", [{ path: "etc/sysctl.d/x.conf", pieces: [`${SETTING} = 70\n`], isSecret: true }]],
  [
    "a host's fifo, device, folder and link to nothing",
    onHost([
      { path: "etc/sysctl.d/1.conf", ...FIFO },
      { path: "etc/sysctl.d/2.conf", ...DEVICE },
      { path: "etc/sysctl.d/3.conf" },
      { path: "etc/sysctl.d/4.conf", link: "/etc/sysctl.d/nowhere" },
    ]),
  ],
  [
    "a link on the host to a file on the host",
    onHost([
      { path: "etc/sysctl.d/web.conf", link: "../../../../../etc/static/web.conf" },
      file("etc/static/web.conf", `${SETTING} = 80`),
    ]).concat(file("etc/static/web.conf", `${SETTING} = 70`)),
  ],
];

const A_MILLION = 1_000_000;

/** Starts for which the helper has to be asked; most of them were missed once. */
const TRAPS: readonly (readonly [string, Partial<Start>])[] = [
  ["braces in a glob", { tree: web("net.ipv4.ip_unpriv*{_start,_x} = 70") }],
  ["a glob that ends with a slash", { tree: web("net/ipv4/ip_unprivileged_port_s*t/ = 70") }],
  ["a glob that ends with a dot", { tree: web("net.ipv4.ip_unprivileged_port_s*t. = 70") }],
  ["a backslash in a glob", { tree: web("net.ipv4.ip_unpriv*\\start = 70") }],
  ["a file's name that looks like a comment", { tree: [file("etc/sysctl.d/a.conf:#.conf", `${SETTING} = 70`)] }],
  ["a comment behind the value", { tree: web(`${SETTING} = 0 # was ${SETTING} = 80`) }],
  ["half the name behind the value", { tree: web(`${SETTING} = 70 ged_port_start=80`) }],
  ["the name behind a glob's value", { tree: web(`net.ipv4.ip_unprivileged_port_star* = 70 ${SETTING} = 80`) }],
  ["half the name behind a glob's value", { tree: web("net.ipv4.ip_unprivileged_port_star* = 70 ged_port_start=80") }],
  ["a NUL before it", { tree: web(`#\0${SETTING} = 70`) }],
  ["a CR before it", { tree: web(`#\r${SETTING} = 70`) }],
  [
    "no final line end, and digits in the next file",
    { tree: [{ path: "etc/sysctl.d/1.conf", pieces: [`${SETTING} = 8`] }, file("etc/sysctl.d/2.conf", "0")] },
  ],
  [
    "a link on the host to a file on the host",
    {
      tree: onHost([
        { path: "etc/sysctl.d/web.conf", link: "/etc/static/web.conf" },
        file("etc/static/web.conf", `${SETTING} = 70`),
      ]),
    },
  ],
  ["a line with a million blanks", { tree: web(`${SETTING} = 70${" ".repeat(A_MILLION)}x`) }],
  ["after a line of a million letters", { tree: web(`#${"x".repeat(A_MILLION)}\n${SETTING} = 70`) }],
  ["the first of two --start is no number", { argv: ["--start=x", "--start=80", ...COMMAND] }],
  ["--start without its value", { argv: ["--start", "--timeout=5", ...COMMAND] }],
  ["the first of two --timeout is none", { argv: ["--timeout=0", "--timeout=5", ...COMMAND] }],
  [
    "PORTSHIM_START is no number, and --start hides it",
    { argv: ["--start=80", ...COMMAND], env: { PORTSHIM_START: "x" } },
  ],
  [
    "1024 in a file that an empty one masks",
    { live: 1024, tree: [file("etc/sysctl.d/web.conf"), file("usr/lib/sysctl.d/web.conf", `${SETTING} = 1024`)] },
  ],
  [
    "443 in a file that could be masked",
    { live: 443, tree: [file("usr/lib/sysctl.d/web.conf", `${SETTING} = 443`), file("run/sysctl.d/web.conf")] },
  ],
  [
    "443, and on the host 1024, if 443 is not what is wanted here",
    { live: 443, tree: onHost(web(`${SETTING} = 443`)).concat(file("etc/sysctl.d/a.conf", `${SETTING} = 80`)) },
  ],
  [
    "443 by a glob, and excluded from it",
    { live: 443, tree: web(`net.ipv4.ip_unprivileged_port_star* = 443\n-${SETTING}`) },
  ],
  ["443, and what is asked for is invalid", { live: 443, tree: web(`${SETTING} = 40000`) }],
  [
    "443, and then more",
    { live: 443, tree: web(`${SETTING} = 443`).concat(file("etc/sysctl.conf", `${SETTING} = 80`)) },
  ],
  ["a value of 64 KiB", { tree: [{ path: "etc/sysctl.d/web.conf", pieces: padded(65536, `${SETTING} = 70\n`) }] }],
  ["PORTSHIM_QUIET is 2", { env: { PORTSHIM_QUIET: "2" } }],
];

test("what was wrong once is right", async () => {
  const wrong: string[] = [];
  const stage = await Stage.open();
  try {
    for (const [name, trap] of TRAPS) {
      const asked = { tree: [], live: 80, argv: COMMAND, env: {}, ...trap };
      assert.not(await stage.nothingToDo(asked), name);
      if (await stage.skips(asked)) wrong.push(name);
    }
  } finally {
    await stage.namespace.close();
  }
  assert.equal(wrong, []);
});

test("it skips the helper if there is certainly nothing to do", async () => {
  const lazy: string[] = [];
  const stage = await Stage.open();
  try {
    for (const [name, tree, live = 80] of PLAIN) {
      const asked = { tree, live, argv: COMMAND, env: {} };
      assert.ok(await stage.nothingToDo(asked), name);
      if (!(await stage.skips(asked))) lazy.push(name);
    }
  } finally {
    await stage.namespace.close();
  }
  assert.equal(lazy, []);
});

refusing("without openat2 the helper is asked if the host's files can be seen, and only then", async () => {
  const stage = await Stage.open();
  const refuse = join(stage.namespace.shared, "refuse");
  execFileSync("gcc", ["-Wall", "-Werror", "-o", refuse, join(ROOT, "test", "launcher", "refuse.c")]);
  const skips = (tree: Tree, ...before: string[]) => stage.skips({ tree, live: 80, argv: COMMAND, env: {} }, before);
  try {
    const [host, none] = [onHost(web(`${SETTING} = 80`)), web(`${SETTING} = 80`)];
    assert.ok(await skips(host));
    for (const error of ["EPERM", "ENOSYS"] as const) {
      const number = String(constants.errno[error]);
      assert.not(await skips(host, refuse, number), error);
      assert.ok(await skips(none, refuse, number), error);
    }
  } finally {
    await stage.namespace.close();
  }
});

test.run();
refusing.run();
