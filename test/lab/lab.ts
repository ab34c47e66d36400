import { type ChildProcess, spawn as spawnProcess, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Where a command runs: a key of PLACES. */
export type Where = "host" | "user" | "graphical" | "toolbox" | "distrobox";

/** Which answer polkit gives to pkexec and run0. */
type PolkitAnswer = "YES" | "NO" | "AUTH_ADMIN" | "NOT_HANDLED";

/** How a command is run. */
export interface RunOptions {
  /** Variables to set, or with `undefined` to remove, on top of a login's. Any name without `=`. */
  env?: Record<string, string | undefined>;
  /** The working directory; default: the user's home, root's for `host`. */
  cwd?: string;
  /** The command's standard input; default: empty. */
  input?: string | Buffer;
  /** Milliseconds until the command is killed and the promise rejected. Default 30,000. */
  timeout?: number;
  /** In a toolbox or distrobox: be root there (by `podman exec`, so without sudo's changes to the environment). */
  root?: boolean;
}

/** How a command ended. As in Node, `status` is null if a signal ended it. */
export interface Result {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A command that is running. */
export interface Running {
  /** Its process id, the same on the lab's host and in its toolbox and distrobox. */
  readonly pid: number;
  /** What it has written to standard output so far. */
  readonly stdout: string;
  /** What it has written to standard error so far. */
  readonly stderr: string;
  /**
   * Waits (default: 30,000 ms) until either output matches. Rejects if it does not in time, or the command ends before.
   */
  waitFor(pattern: RegExp, timeout?: number): Promise<RegExpMatchArray>;
  /** Sends it a signal, by default SIGTERM. False: it was gone already. */
  kill(signal?: NodeJS.Signals): Promise<boolean>;
  /** Resolves when it has ended. It never rejects on account of time; `timeout` in the options is ignored. */
  readonly exited: Promise<Result>;
}

/** The screen and the keyboard of the user's graphical session. */
interface Desktop {
  /** Waits until polkit's dialog asks, also again after a wrong password, and has the keyboard's focus. */
  asked(): Promise<void>;
  /** Types a text. */
  type(text: string): Promise<void>;
  /** Presses keys, by their names in X: `Return`, `Escape`. */
  press(...keys: string[]): Promise<void>;
  /** The picture of polkit's dialog that is open, as a small PNG. */
  screenshot(): Promise<Buffer>;
  /** The text that a picture shows. */
  read(picture: Buffer): Promise<string>;
}

/** A Silverblue-like host, freshly booted. */
export interface Lab {
  /** The name of the ordinary user. */
  readonly user: string;
  /** The user's numeric id. */
  readonly uid: number;
  /** The user's password. */
  readonly password: string;
  /** The name of the user's toolbox. */
  readonly toolbox: string;
  /** The name of the user's distrobox. */
  readonly distrobox: string;
  /** This repository's path on the lab's host, read-only; in a toolbox or distrobox it is below `/run/host`. */
  readonly repository: string;
  /** The path there of the tested versions of Node: folders, node20 and so on. */
  readonly nodes: string;
  /** The path on this machine of the lab's host's root directory, until it reboots. */
  readonly root: string;
  /** A kernel's name, such as `pid:[4026532000]`, for each namespace that is the lab's own, until it reboots. */
  readonly namespaces: readonly string[];
  /** The user's screen and keyboard; the graphical session starts with their first use. */
  readonly desktop: Desktop;

  /** Runs a command as root on the host. */
  asHost(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command as the ordinary user on the host, in a login session without a desktop. */
  asUser(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command as the ordinary user on the host, in the graphical session, which starts with its first use. */
  asGraphical(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command in the toolbox, by `toolbox run`; the first use makes the toolbox. */
  inToolbox(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a command in the distrobox, by `distrobox enter`; the first use makes the distrobox. */
  inDistrobox(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Starts a command that runs for longer; resolves when it has a process id. */
  spawn(where: Where, argv: readonly string[], options?: RunOptions): Promise<Running>;

  /** The host's `net.ipv4.ip_unprivileged_port_start`. */
  threshold(): Promise<number>;
  /** Sets the host's `net.ipv4.ip_unprivileged_port_start`. */
  setThreshold(value: number): Promise<void>;

  /** Makes polkit give this answer to pkexec and run0 from now on. */
  polkit(answer: PolkitAnswer): Promise<void>;
  /**
   * What polkit was asked about since boot: for pkexec the command line, for run0 the unit, as `start run-1.service`,
   * for firewalld the action, as `org.fedoraproject.FirewallD1.info`.
   */
  prompts(): Promise<string[]>;
  /** How many commands flatpak-session-helper was asked, over the session bus, to run on the host since boot. */
  hostCalls(): Promise<number>;

  /** Writes a file, and creates its folders; in the toolbox and distrobox as root there. */
  writeFile(where: Where, path: string, content: string | Buffer, mode?: number): Promise<void>;
  /** Removes a file or folder, if it exists; in the toolbox and distrobox as root there. */
  removeFile(where: Where, path: string): Promise<void>;
  /**
   * Puts the built shim into the toolbox or distrobox, as `npm install --global` does, and a `node` (of major version
   * `node`, default 26) into its /usr/local/bin.
   */
  installShim(options?: { node?: 20 | 22 | 24 | 26; where?: "toolbox" | "distrobox" }): Promise<void>;
  /** GETs `http://127.0.0.1:PORT` from the host. */
  fetch(port: number, path?: string): Promise<{ status: number; body: string }>;

  /** Reboots the host, and resolves when it is up again. Its disk is kept; processes, /run and /tmp are gone. */
  reboot(): Promise<void>;
  /** Switches the host off: all of its processes are gone when this resolves. */
  stop(): Promise<void>;
}

/** How a place is entered. */
interface Place {
  /** The login session on the host, one of root/usr/local/libexec/portshim-lab/enter's. */
  session: "root" | "ada" | "graphical";
  /** What a command is prefixed with there. */
  prefix: readonly string[];
  /** The prefix to be root in a container. */
  rootPrefix?: readonly string[];
  /** The home of the user that commands run as. */
  home: string;
  /** What must have run, a place and a script, before the first command since boot. */
  first?: readonly [Where, string];
}

const user = "ada";
const uid = 4321;
const home = `/home/${user}`;
const box = "box";
const distrobox = "distro";
const image = "localhost/portshim-lab/toolbox:1";

const PLACES: Record<Where, Place> = {
  host: { session: "root", prefix: [], home: "/root" },
  user: { session: user, prefix: [], home },
  graphical: { session: "graphical", prefix: [], home, first: ["host", "systemctl start lab-graphical"] },
  toolbox: {
    session: user,
    prefix: ["toolbox", "run", "--container", box],
    rootPrefix: ["podman", "exec", "--interactive", "--user", "root", box],
    home,
    first: [
      "user",
      `podman container exists ${box} || toolbox --assumeyes create --image ${image} ${box} && toolbox run -c ${box} true`,
    ],
  },
  distrobox: {
    session: user,
    prefix: ["distrobox", "enter", "--name", distrobox, "--"],
    rootPrefix: ["podman", "exec", "--interactive", "--user", "root", distrobox],
    home,
    first: [
      "user",
      `distrobox create --yes --image ${image} --name ${distrobox} && distrobox enter --name ${distrobox} -- true`,
    ],
  },
};

const sources = join(__dirname, "..", "..", "test", "lab");
const inside = "/run/portshim-lab";
const libexec = "/usr/local/libexec/portshim-lab";

/**
 * Runs a command and leaves its process id and wait status in files: `toolbox run` does not pass statuses on
 * faithfully. In perl, because sh cannot tell status 143 from SIGTERM or set odd variables, Node changes what its
 * children inherit (limits, signals, descriptors), and perl is in every Debian image.
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

/** What this machine lacks to run the lab, a short sentence each; empty if it can run. */
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

/** The tested versions of Node, below the checkout: folders node20 and so on. */
export const NODES = "test/nodes/node_modules";

/** Boots a lab: in seconds, or minutes if its images are not built yet. */
export async function startLab(options: { timeout?: number } = {}): Promise<Lab> {
  const missing = labMissing();
  if (missing.length > 0) throw new Error(missing.join("\n"));
  const host = spawnProcess(join(sources, "host.sh"), [], { stdio: ["ignore", "pipe", "pipe"] });
  const boots = bootsOf(host);
  let init = await boots(options.timeout ?? 600_000);
  const repository = `${inside}/repository`;
  const nodes = `${repository}/${NODES}`;
  const reports = `/run/user/${uid}/portshim-lab`;
  const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];
  const firsts = new Map<Where, Promise<unknown>>();
  let commands = 0;
  let rules = 0;
  let marks = 0;
  let asker = "";

  async function spawn(where: Where, argv: readonly string[], options: RunOptions = {}): Promise<Running> {
    const place = PLACES[where];
    if (place.first !== undefined) {
      const [there, script] = place.first;
      if (!firsts.has(where)) firsts.set(where, mustRun(there, ["sh", "-c", script], { timeout: 120_000 }));
      await firsts.get(where);
    }
    const report = `${reports}/${++commands}`;
    const read = (name: string) => readIfWhole(`/proc/${init}/root${report}.${name}`);
    const [prefix, home] =
      options.root === true && place.rootPrefix ? [place.rootPrefix, "/root"] : [place.prefix, place.home];
    const enter = ["--target", `${init}`, ...namespaces, "--", `${libexec}/enter`, place.session, ...prefix];
    const env = Object.entries(options.env ?? {}).map(([name, value]) =>
      value === undefined ? name : `${name}=${value}`,
    );
    const perl = ["perl", "-e", runner, report, options.cwd ?? home, `${env.length}`, ...env];
    const child = spawnProcess("nsenter", [...enter, ...perl, ...argv], {
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const output = collect(child);
    // A command can end without having read all of its input.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);

    const said = () => `\nstdout: ${output.stdout}\nstderr: ${output.stderr}`;
    const ended = closed(child);
    const exited = ended.then((): Result => {
      const status = read("status");
      if (status === undefined) throw new Error(`${argv.join(" ")}: did not run (${where})${said()}`);
      return { ...waitStatus(Number(status)), stdout: output.stdout, stderr: output.stderr };
    });
    // Those who wait for it get the rejection all the same.
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

  async function appears<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const seen = await look();
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

  /** What is in the journal since boot with this tag, once the line `last` is there. */
  async function journal(tag: string, last: string): Promise<string[]> {
    return await appears(`${last} in the journal`, async () => {
      const text = await mustRun("host", ["journalctl", "--quiet", "--boot", "--output=cat", `--identifier=${tag}`]);
      const lines = text.split("\n");
      const at = lines.indexOf(last);
      return at < 0 ? undefined : lines.slice(0, at);
    });
  }

  async function polkit(answer: PolkitAnswer): Promise<void> {
    // The rules log their number when polkitd has loaded them.
    const loaded = `rules ${++rules}`;
    const file = "/etc/polkit-1/rules.d/10-portshim-lab.rules";
    const template = readFileSync(join(sources, "root", file), "utf8");
    const text = template.replace("NOT_HANDLED", answer).replace("rules 0", loaded);
    // Renamed from a name that polkitd ignores: it must not read half a file.
    await mustRun("host", ["sh", "-c", 'cat >"$1.new" && mv "$1.new" "$1"', "sh", file], { input: text });
    await journal("portshim-lab-rules", loaded);
  }

  async function prompts(): Promise<string[]> {
    // All that was asked before this mark is in the journal before it.
    const mark = `mark ${++marks}`;
    await mustRun("host", ["logger", "--tag", "portshim-lab-asked", mark]);
    const lines = await journal("portshim-lab-asked", mark);
    return lines.filter((line) => !line.startsWith("mark ")).map((line) => JSON.parse(line));
  }

  async function hostCalls(): Promise<number> {
    // The bus keeps messages in order, so that whatever was called before this mark is in the log before it.
    const mark = `Mark${++marks}`;
    await mustRun("user", ["dbus-send", "--session", "--type=signal", "/", `portshim.lab.Mark.${mark}`]);
    const seen = await appears("the session bus's monitor", () => {
      const lines = readFileSync(`/proc/${init}/root${reports}/bus`, "utf8").split("\n").slice(0, -1);
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

  async function installShim({ node = 26, where = "toolbox" }: Parameters<Lab["installShim"]>[0] = {}): Promise<void> {
    const script = `
      package=/usr/local/lib/node_modules/portshim
      mkdir -p "$package/launcher" "$package/lib"
      install -m 755 "$1/shim/portshim" "$package"
      install -m 755 "$1/shim/launcher/portshim-$(uname -m)" "$package/launcher"
      (cd "$1/shim/lib" && cp --parents $(find . -name "*.js") "$package/lib")
      ln -sf "$package/portshim" /usr/local/bin/portshim
      ln -sf "$2/bin/node" /usr/local/bin/node
    `;
    await mustRun(where, ["sh", "-ec", script, "sh", `/run/host${repository}`, `/run/host${nodes}/node${node}`], {
      root: true,
    });
  }

  async function fetch(port: number, path = "/"): Promise<{ status: number; body: string }> {
    const url = `http://127.0.0.1:${port}${path}`;
    const answer = await mustRun("host", ["curl", "--silent", "--show-error", "--write-out", "%{http_code}", url]);
    return { status: Number(answer.slice(-3)), body: answer.slice(0, -3) };
  }

  const xdotool = (...argv: string[]) => mustRun("graphical", ["xdotool", ...argv]);
  const desktop: Desktop = {
    asked: async () => {
      // Each time it asks there is another of polkit's helpers, which then reads the password from descriptor 0.
      const script = `
        until pid=$(pgrep --newest --full ^/usr/lib/polkit-1/polkit-agent-helper-1) && test "$pid" != "$1" &&
          grep -q '^0 0x0 ' "/proc/$pid/syscall"; do sleep 0.02; done
        echo "$pid"
      `;
      asker = (await mustRun("host", ["sh", "-c", script, "sh", asker])).trim();
      // Keys go to the window that has the focus.
      await xdotool("search", "--sync", "--onlyvisible", "--name", "^Authenticate$", "windowfocus", "--sync");
    },
    type: async (text) => {
      await xdotool("type", text);
    },
    press: async (...keys) => {
      await xdotool("key", ...keys);
    },
    screenshot: async () => {
      const file = `${reports}/screenshot.png`;
      const small = '-depth 8 -bordercolor "#b0b0b0" -border 2 -quantize YUV +dither -colors 64 -strip';
      const script = `import -window Authenticate miff:- | magick - ${small} "$1"`;
      await mustRun("graphical", ["sh", "-c", script, "sh", file]);
      return readFileSync(`/proc/${init}/root${file}`);
    },
    read: (picture) => mustRun("user", ["tesseract", "stdin", "stdout", "--psm", "6"], { input: picture }),
  };

  async function reboot(): Promise<void> {
    const up = boots(60_000);
    // The command itself may or may not survive to report it.
    const command = await spawn("host", ["systemctl", "reboot"]);
    init = await up;
    firsts.clear();
    await command.exited.catch(() => {});
  }

  async function stop(): Promise<void> {
    if (host.exitCode !== null || host.signalCode !== null) return;
    const ended = new Promise((resolve) => host.once("exit", resolve));
    host.kill("SIGTERM");
    await ended;
  }

  return {
    user,
    uid,
    password: "correct horse",
    toolbox: box,
    distrobox,
    repository,
    nodes,
    get root() {
      return `/proc/${init}/root`;
    },
    get namespaces() {
      return ["pid", "mnt", "net"].map((kind) => readlinkSync(`/proc/${init}/ns/${kind}`));
    },
    desktop,
    asHost: (argv, options) => run("host", argv, options),
    asUser: (argv, options) => run("user", argv, options),
    asGraphical: (argv, options) => run("graphical", argv, options),
    inToolbox: (argv, options) => run("toolbox", argv, options),
    inDistrobox: (argv, options) => run("distrobox", argv, options),
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
    reboot,
    stop,
  };
}

/** A function that waits for the next boot, and returns the process id of its systemd. */
function bootsOf(host: ChildProcess): (timeout: number) => Promise<number> {
  const output = collect(host);
  let seen = 0;
  return (timeout) => {
    const number = seen++;
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        host.off("error", failed).off("exit", ended);
        host.stdout?.off("data", look);
      };
      const fail = (why: string) => {
        settle();
        host.kill("SIGTERM");
        reject(new Error(`The lab did not start: ${why}\n${output.stderr}`));
      };
      const timer = setTimeout(() => fail(`not ready after ${timeout} ms`), timeout);
      const failed = (error: Error) => fail(error.message);
      const ended = (status: number | null, signal: string | null) => fail(`host.sh ended with ${signal ?? status}`);
      const look = () => {
        const init = [...output.stdout.matchAll(/^READY (\d+)\n/gm)][number]?.[1];
        if (init === undefined) return;
        settle();
        resolve(Number(init));
      };
      host.once("error", failed).once("exit", ended);
      host.stdout?.on("data", look);
    });
  };
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

/** Decodes the status of wait(2). */
function waitStatus(word: number): Pick<Result, "status" | "signal"> {
  const number = word & 0x7f;
  if (number === 0) return { status: word >> 8, signal: null };
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return { status: null, signal: name as NodeJS.Signals };
}
