import { type ChildProcess, spawn as spawnProcess, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Where a command runs: `host` as root, `user` as the ordinary user on the host, `toolbox` as her in her toolbox. */
export type Where = "host" | "user" | "toolbox";

/** Which answer polkit gives to pkexec. */
export type PolkitAnswer = "YES" | "NO" | "AUTH_ADMIN" | "NOT_HANDLED";

/** How a command is run. */
export interface RunOptions {
  /** Variables to set, or with `undefined` to take away, on top of those of a login there. Any name without `=`. */
  env?: Record<string, string | undefined>;
  /** The working directory; her home where it is not given, root's for `host`. */
  cwd?: string;
  /** What the command reads from standard input, which is empty where it is not given. */
  input?: string | Buffer;
  /** Milliseconds until the command is killed and the promise rejected. Default 30,000. */
  timeout?: number;
  /** In the toolbox: be root there (by `podman exec`, so without sudo's changes to the environment). */
  root?: boolean;
}

/** How a command ended. As in Node, `status` is null where a signal ended it. */
export interface Result {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A command that is running. */
export interface Running {
  /** Its process id, the same on the lab's host and in its toolbox. */
  readonly pid: number;
  /** What it has written to standard output so far. */
  readonly stdout: string;
  /** What it has written to standard error so far. */
  readonly stderr: string;
  /** Waits (30,000 ms unless told) until either output matches. Rejects when it ended without, or in time did not. */
  waitFor(pattern: RegExp, timeout?: number): Promise<RegExpMatchArray>;
  /** Sends it a signal, SIGTERM unless told. False where it was gone already. */
  kill(signal?: NodeJS.Signals): Promise<boolean>;
  /** Resolves when it has ended. It never rejects on account of time; `timeout` in the options is ignored. */
  readonly exited: Promise<Result>;
}

/** A Silverblue-like host, freshly booted. */
export interface Lab {
  /** The name of the ordinary user. */
  readonly user: string;
  /** Her numeric id. */
  readonly uid: number;
  /** The name of her toolbox. */
  readonly toolbox: string;
  /** Where the lab's host sees this repository, read-only. A toolbox sees it below `/run/host`. */
  readonly repository: string;
  /** Where this machine sees the files of the lab's host. */
  readonly root: string;
  /** A kernel's name, such as `pid:[4026532000]`, for each namespace that is the lab's own. */
  readonly namespaces: readonly string[];

  /** Runs a command as root on the host. */
  asHost(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command as the ordinary user on the host, as after a login. */
  asUser(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command in the toolbox, by `toolbox run`. */
  inToolbox(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Starts a command that runs for longer; resolves when it has a process id. */
  spawn(where: Where, argv: readonly string[], options?: RunOptions): Promise<Running>;

  /** The host's `net.ipv4.ip_unprivileged_port_start`. */
  threshold(): Promise<number>;
  /** Sets the host's `net.ipv4.ip_unprivileged_port_start`. */
  setThreshold(value: number): Promise<void>;

  /** Makes polkit give this answer to pkexec from now on. */
  polkit(answer: PolkitAnswer): Promise<void>;
  /** The command lines that polkit was asked about for pkexec since boot. */
  prompts(): Promise<string[]>;
  /** How many commands flatpak-session-helper was asked, over the session bus, to run on the host since boot. */
  hostCalls(): Promise<number>;

  /** Writes a file, and the folders on its path; in the toolbox as its root. */
  writeFile(where: Where, path: string, content: string | Buffer, mode?: number): Promise<void>;
  /** Removes a file or folder, which need not be there; in the toolbox as its root. */
  removeFile(where: Where, path: string): Promise<void>;
  /**
   * Puts the built shim into the toolbox, as `npm install --global` does, and a `node` (of major version `node`, default
   * 26) into its /usr/local/bin.
   */
  installShim(options?: { node?: 20 | 22 | 24 | 26 }): Promise<void>;
  /** GETs `http://127.0.0.1:PORT` from the host. */
  fetch(port: number, path?: string): Promise<{ status: number; body: string }>;

  /** Switches the host off: every process of it is gone when this resolves. */
  stop(): Promise<void>;
}

const sources = join(__dirname, "..", "..", "test", "lab");
const inside = "/run/portshim-lab";

/**
 * Runs a command and leaves its process id and wait status in files: `toolbox run` does not hand statuses on faithfully.
 * In perl, because sh cannot tell status 143 from SIGTERM or set odd variables, Node changes what its children inherit
 * (limits, signals, descriptors), and perl is in every Debian image.
 */
const runner = `
  my ($report, $cwd, $count) = splice @ARGV, 0, 3;
  for (splice @ARGV, 0, $count) {
    my ($name, $value) = split /=/, $_, 2;
    if (defined $value) { $ENV{$name} = $value } else { delete $ENV{$name} }
  }
  sub report { open my $f, ">", "$report.$_[0]" or die "$report: $!"; print $f "$_[1]\\n"; close $f }
  chdir $cwd or die "$cwd: $!\\n";
  my $pid = fork // die "fork: $!\\n";
  if (!$pid) { exec { $ARGV[0] } @ARGV or do { print STDERR "$ARGV[0]: $!\\n"; exit($!{ENOENT} ? 127 : 126) } }
  report "pid", $pid;
  waitpid $pid, 0;
  report "status", $?;
`;

/** What this machine lacks to run the lab, a short sentence each; empty where it can run. */
export function labMissing(): string[] {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push("The lab needs root.");
  const packages = readFileSync(join(sources, "packages.txt"), "utf8").trim().split("\n");
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the fields are dpkg-query's.
  const format = "--showformat=${Package} ${db:Status-Status}\n";
  const query = spawnSync("dpkg-query", ["--show", format, ...packages], { encoding: "utf8" });
  if (query.error) missing.push("The lab needs a Debian (there is no dpkg-query).");
  else {
    const installed = new Set(query.stdout.split("\n").flatMap((line) => line.match(/^(\S+) installed$/)?.[1] ?? []));
    const absent = packages.filter((name) => !installed.has(name));
    if (absent.length > 0) missing.push(`The lab needs Debian packages: ${absent.join(" ")}.`);
  }
  if (missing.length === 0) {
    const trial = spawnSync("unshare", [
      "--mount",
      "--net",
      "--pid",
      "--fork",
      "--mount-proc",
      "sh",
      "-ec",
      kernelTrial,
    ]);
    if (trial.status !== 0) {
      missing.push(`The lab needs a kernel and a container that allow this: ${String(trial.stderr).trim()}`);
    }
  }
  return missing;
}

const kernelTrial = `
  mount -t tmpfs tmpfs /tmp
  mkdir /tmp/upper /tmp/work
  mount -t overlay -o lowerdir=/etc,upperdir=/tmp/upper,workdir=/tmp/work overlay /etc
  mount -t cgroup2 cgroup2 /mnt
  mknod /tmp/fuse c 10 229
  test -e /proc/sys/net/ipv4/ip_unprivileged_port_start || { echo no net.ipv4.ip_unprivileged_port_start >&2; exit 1; }
`;

/** Boots a lab: seconds, or a minute where its images are not built yet. */
export async function startLab(options: { timeout?: number } = {}): Promise<Lab> {
  const missing = labMissing();
  if (missing.length > 0) throw new Error(missing.join("\n"));
  const host = spawnProcess(join(sources, "host.sh"), [], { stdio: ["ignore", "pipe", "pipe"] });
  const [, user, id] = await ready(host, options.timeout ?? 300_000);
  const uid = Number(id);
  const init = Number(readFileSync(`/proc/${host.pid}/task/${host.pid}/children`, "utf8").trim());
  const repository = `${inside}/repository`;
  const reports = `/run/user/${uid}/portshim-lab`;
  const log = (name: string) => readFileSync(`/proc/${init}/root${inside}/log/${name}`, "utf8");
  let commands = 0;
  let rules = 0;
  let marks = 0;

  function entrance(where: Where, root = false): string[] {
    const lab = ["nsenter", "--target", `${init}`, "--mount", "--net", "--pid", "--", `${repository}/test/lab/host.sh`];
    if (where === "host") return [...lab, "as-root"];
    if (where === "user") return [...lab, "as-user"];
    if (!root) return [...lab, "as-user", "toolbox", "run", "--container", "box"];
    return [...lab, "as-user", "podman", "exec", "--interactive", "--user", "root", "box"];
  }

  async function spawn(where: Where, argv: readonly string[], options: RunOptions = {}): Promise<Running> {
    const report = `${reports}/${++commands}`;
    const read = (name: string) => readIfWhole(`/proc/${init}/root${report}.${name}`);
    const isRoot = where === "host" || (where === "toolbox" && options.root === true);
    const cwd = options.cwd ?? (isRoot ? "/root" : `/home/${user}`);
    const env = Object.entries(options.env ?? {}).map(([name, value]) =>
      value === undefined ? name : `${name}=${value}`,
    );
    const [file = "", ...prefix] = entrance(where, options.root);
    const child = spawnProcess(file, [...prefix, "perl", "-e", runner, report, cwd, `${env.length}`, ...env, ...argv], {
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const output = collect(child);
    // A command may well end without having read all that it was given.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);

    const said = () => `\nstdout: ${output.stdout}\nstderr: ${output.stderr}`;
    const ended = closed(child);
    const exited = ended.then((): Result => {
      const status = read("status");
      if (status === undefined) throw new Error(`${argv.join(" ")}: did not run (${where})${said()}`);
      return { ...waitStatus(Number(status)), stdout: output.stdout, stderr: output.stderr };
    });
    // Whoever is interested gets the rejection all the same.
    exited.catch(() => {});

    let over = false;
    const isOver = () => {
      over = true;
    };
    ended.then(isOver, isOver);
    const until = async <T>(wanted: () => T | undefined, what: string, timeout: number): Promise<T> => {
      const deadline = Date.now() + timeout;
      for (;;) {
        const wasOver = over;
        const found = wanted();
        if (found !== undefined) return found;
        if (wasOver) throw new Error(`${argv.join(" ")}: ended without ${what}${said()}`);
        if (Date.now() > deadline) throw new Error(`${argv.join(" ")}: no ${what} in ${timeout} ms${said()}`);
        await sleep(5);
      }
    };

    const pid = Number(await until(() => read("pid"), "a process id", 30_000));
    return {
      pid,
      get stdout() {
        return output.stdout;
      },
      get stderr() {
        return output.stderr;
      },
      waitFor: (pattern, timeout = 30_000) =>
        until(
          () => output.stdout.match(pattern) ?? output.stderr.match(pattern) ?? undefined,
          String(pattern),
          timeout,
        ),
      kill: async (signal = "SIGTERM") => (await run("host", ["kill", "-s", signal.slice(3), `${pid}`])).status === 0,
      exited,
    };
  }

  async function run(where: Where, argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    const timeout = options.timeout ?? 30_000;
    const running = await spawn(where, argv, options);
    const expired = new AbortController();
    const late = sleep(timeout, "late" as const, { signal: expired.signal }).catch(() => "late" as const);
    const result = await Promise.race([running.exited, late]).finally(() => expired.abort());
    if (result !== "late") return result;
    await running.kill("SIGKILL");
    throw new Error(
      `${argv.join(" ")}: still running after ${timeout} ms\nstdout: ${running.stdout}\nstderr: ${running.stderr}`,
    );
  }

  async function mustRun(where: Where, argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, signal, stdout, stderr } = await run(where, argv, options);
    if (status !== 0) throw new Error(`${argv.join(" ")}: ${signal ?? `status ${status}`}: ${stderr || stdout}`);
    return stdout;
  }

  async function appears<T>(what: string, look: () => T | undefined): Promise<T> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const seen = look();
      if (seen !== undefined) return seen;
      if (Date.now() > deadline) throw new Error(`lab: waited 10 s in vain for ${what}`);
      await sleep(5);
    }
  }

  async function threshold(): Promise<number> {
    return Number(await mustRun("host", ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]));
  }

  async function setThreshold(value: number): Promise<void> {
    await mustRun("host", ["sysctl", "--quiet", "--write", `net.ipv4.ip_unprivileged_port_start=${value}`]);
  }

  async function polkit(answer: PolkitAnswer): Promise<void> {
    // The rules say their number when polkitd has loaded them, so that nobody has to guess when that is.
    const loaded = `portshim-lab: rules ${++rules}`;
    const template = readFileSync(join(sources, "polkit.rules"), "utf8");
    const text = template.replace("NOT_HANDLED", answer).replace("portshim-lab: rules 0", loaded);
    // In one step, and under a name that polkitd overlooks until then: it must not read half a file.
    const file = "/etc/polkit-1/rules.d/10-portshim-lab.rules";
    await writeFile("host", `${file}.new`, text, 0o644);
    await mustRun("host", ["mv", `${file}.new`, file]);
    await appears("polkitd to load its rules", () => log("polkit").includes(`${loaded}\n`) || undefined);
  }

  async function prompts(): Promise<string[]> {
    return [...log("polkit").matchAll(/portshim-lab: asked (".*")$/gm)].map(([, line]) => JSON.parse(line ?? ""));
  }

  async function hostCalls(): Promise<number> {
    // The bus keeps messages in order, so that whatever was called before this mark is in the log before it.
    const mark = `Mark${++marks}`;
    await mustRun("user", ["dbus-send", "--session", "--type=signal", "/", `portshim.lab.Mark.${mark}`]);
    const seen = await appears("the session bus's monitor", () => {
      const lines = log("bus").split("\n").slice(0, -1);
      const at = lines.findIndex((line) => line.endsWith(`\t${mark}`));
      return at < 0 ? undefined : lines.slice(0, at);
    });
    return seen.filter((line) => line.startsWith("mc\t") && line.endsWith("\tHostCommand")).length;
  }

  async function writeFile(where: Where, path: string, content: string | Buffer, mode = 0o644): Promise<void> {
    const script = 'mkdir -p -- "$(dirname -- "$1")" && cat >"$1" && chmod "$2" "$1"';
    await mustRun(where, ["sh", "-c", script, "sh", path, mode.toString(8)], { input: content, root: true });
  }

  async function removeFile(where: Where, path: string): Promise<void> {
    await mustRun(where, ["rm", "-rf", "--", path], { root: true });
  }

  async function installShim({ node = 26 }: { node?: 20 | 22 | 24 | 26 } = {}): Promise<void> {
    const script = `
      package=/usr/local/lib/node_modules/portshim
      mkdir -p "$package/launcher" "$package/lib"
      install -m 755 "$1/shim/portshim" "$package"
      install -m 755 "$1/shim/launcher/portshim-$(uname -m)" "$package/launcher"
      install -m 644 "$1"/shim/lib/*.js "$package/lib"
      ln -sf "$package/portshim" /usr/local/bin/portshim
      ln -sf "$1/node_modules/node$2/bin/node" /usr/local/bin/node
    `;
    await mustRun("toolbox", ["sh", "-ec", script, "sh", `/run/host${repository}`, `${node}`], { root: true });
  }

  async function fetch(port: number, path = "/"): Promise<{ status: number; body: string }> {
    const script = `
      require("http").get({ host: "127.0.0.1", port: process.argv[1], path: process.argv[2] }, async (response) => {
        let body = "";
        for await (const part of response.setEncoding("utf8")) body += part;
        console.log(JSON.stringify({ status: response.statusCode, body }));
      });
    `;
    return JSON.parse(
      await mustRun("host", [`${repository}/node_modules/node26/bin/node`, "-e", script, `${port}`, path]),
    );
  }

  async function stop(): Promise<void> {
    if (host.exitCode === null && host.signalCode === null) {
      // The kernel lets a PID namespace's first process go only after all others, and the parent waits for it.
      process.kill(init, "SIGKILL");
      await new Promise((resolve) => host.once("exit", resolve));
    }
  }

  return {
    user: user ?? "",
    uid,
    toolbox: "box",
    repository,
    root: `/proc/${init}/root`,
    namespaces: ["pid", "mnt", "net"].map((kind) => readlinkSync(`/proc/${init}/ns/${kind}`)),
    asHost: (argv, options) => run("host", argv, options),
    asUser: (argv, options) => run("user", argv, options),
    inToolbox: (argv, options) => run("toolbox", argv, options),
    spawn,
    threshold,
    setThreshold,
    polkit,
    prompts,
    hostCalls,
    writeFile,
    removeFile,
    installShim,
    fetch,
    stop,
  };
}

/** Waits for the line READY, and gives its words. */
function ready(host: ChildProcess, timeout: number): Promise<string[]> {
  const output = collect(host);
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      host.kill("SIGKILL");
      reject(new Error(`The lab did not start: ${why}\n${output.stderr}`));
    };
    const timer = setTimeout(() => fail(`not ready after ${timeout} ms`), timeout);
    host.once("error", (error) => fail(error.message));
    host.once("exit", (status, signal) => fail(`host.sh ended with ${signal ?? status}`));
    host.stdout?.on("data", () => {
      const line = output.stdout.match(/^READY .*(?=\n)/m)?.[0];
      if (line === undefined) return;
      clearTimeout(timer);
      host.removeAllListeners("exit");
      resolve(line.split(" "));
    });
  });
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  return output;
}

function closed(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve());
  });
}

function readIfWhole(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "utf8");
  return text.endsWith("\n") ? text : undefined;
}

/** Takes apart what wait(2) gives. */
function waitStatus(word: number): Pick<Result, "status" | "signal"> {
  const number = word & 0x7f;
  if (number === 0) return { status: word >> 8, signal: null };
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return { status: null, signal: name as NodeJS.Signals };
}
