import { type ChildProcessByStdio, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { KERNEL_DEFAULT, SETTING_FILE } from "../../shim/lib/here/threshold.js";

/** Marks the end of every script's output; nothing that the tests run prints it. */
const MARK = "\x1e";

/** The overflow id (user_namespaces(7)); see Namespace. */
const OVERFLOW_ID = "65534";

/** Milliseconds after which a script must be hanging. */
const PATIENCE = 60_000;

const LOCAL_PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

/**
 * A shell in user, mount and network namespaces of its own, in which the files of sysctl.d are those below `root` and
 * no others, and the threshold can be set without touching the machine's.
 *
 * Its root is an ordinary user outside, which keeps the machine's own settings safe: if the *real* root is mapped, the
 * kernel (test_perm() in fs/proc/proc_sysctl.c) permits it to write every setting that belongs to no namespace.
 */
export class Namespace {
  /** The tree: `etc/sysctl.d/…` below it is `/etc/sysctl.d/…` inside. */
  readonly root: string;
  /** A folder for other files that are needed inside, under the same absolute path. */
  readonly shared: string;
  readonly #shell: ChildProcessByStdio<Writable, Readable, Readable>;
  #output = "";
  #complaints = "";
  #waiting: { resolve(output: string): void; reject(error: Error): void } | undefined;

  private constructor() {
    this.shared = mkdtempSync(join(tmpdir(), "sysctl-"));
    chmodSync(this.shared, 0o755);
    this.root = join(this.shared, "tree");
    for (const directory of [
      "etc/sysctl.d",
      "run/sysctl.d",
      "run/host",
      "usr/local/lib/sysctl.d",
      "usr/lib/sysctl.d",
    ]) {
      mkdirSync(join(this.root, directory), { recursive: true });
    }
    const ids = [`--reuid=${OVERFLOW_ID}`, `--regid=${OVERFLOW_ID}`, "--clear-groups"];
    const own = ["unshare", "--user", "--map-root-user", "--mount", "--net"];
    this.#shell = spawn("setpriv", [...ids, ...own, "sh"], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      cwd: "/",
      stdio: ["pipe", "pipe", "pipe"],
      // A process group of its own, so that everything that hangs inside can be killed.
      detached: true,
    });
    this.#shell.stdout.setEncoding("latin1").on("data", (text: string) => {
      this.#output += text;
      if (this.#output.endsWith(MARK)) this.#answer();
    });
    this.#shell.stderr.setEncoding("latin1").on("data", (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-2000);
    });
    const ended = () => this.#waiting?.reject(new Error(`the namespace's shell ended: ${this.#complaints}`));
    this.#shell.on("error", ended).on("close", ended);
    // A failing test ends this process while others still run; what hangs in them must not outlive it.
    process.once("exit", this.#kill);
    this.#shell.stdin.on("error", () => {});
  }

  /** Rejects if this machine does not permit namespaces to ordinary users. */
  static async open(): Promise<Namespace> {
    const namespace = new Namespace();
    writeFileSync(join(namespace.shared, "range"), "");
    const { root } = namespace;
    try {
      await namespace.run(`
        set -e
        mount --bind '${root}/etc' /etc
        mount --bind '${root}/run' /run
        mount --bind '${root}/usr/local/lib' /usr/local/lib
        mount --bind '${root}/usr/lib/sysctl.d' /usr/lib/sysctl.d
        # A glob may change it as well, and it bounds the threshold: what the one does to the other is left out here.
        mount --bind '${namespace.shared}/range' ${LOCAL_PORT_RANGE}
        if [ -w /proc/sys/kernel/panic ]; then echo 'the settings of the machine can be written here' >&2; exit 1; fi
        set +e`);
    } catch (error) {
      await namespace.close();
      throw error;
    }
    return namespace;
  }

  /**
   * Runs shell commands inside; resolves to their standard output, as bytes (latin1). Rejects, and cannot be used any
   * more, if they take a minute.
   */
  async run(script: string): Promise<string> {
    const timer = setTimeout(() => {
      this.#complaints += `no answer within ${PATIENCE} ms`;
      this.#kill();
    }, PATIENCE);
    try {
      return await this.#ask(script);
    } finally {
      clearTimeout(timer);
    }
  }

  #ask(script: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#waiting) throw new Error("one script at a time");
      if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) throw new Error("the namespace is closed");
      this.#waiting = { resolve, reject };
      this.#shell.stdin.write(Buffer.from(`${script}\nprintf '\\036'\n`, "latin1"));
    });
  }

  /**
   * The threshold after systemd-sysctl has applied the tree to a new network namespace's. Without --prefix, as
   * systemd-sysctl.service runs it at boot: with one it treats globs, and keys with unusual slashes, differently.
   */
  async applied(): Promise<number> {
    const output = await this.run(
      `echo ${KERNEL_DEFAULT} >${SETTING_FILE}; /lib/systemd/systemd-sysctl </dev/null >/dev/null 2>&1; cat ${SETTING_FILE}`,
    );
    if (!/^\d+\n$/.test(output)) throw new Error(`no threshold: ${output}`);
    return Number(output);
  }

  async close(): Promise<void> {
    if (this.#shell.exitCode === null && this.#shell.signalCode === null) {
      const ended = new Promise((resolve) => this.#shell.once("close", resolve));
      this.#shell.stdin.end();
      await ended;
    }
    process.off("exit", this.#kill);
    rmSync(this.shared, { recursive: true, force: true });
  }

  readonly #kill = () => {
    if (this.#shell.pid !== undefined && this.#shell.exitCode === null && this.#shell.signalCode === null) {
      process.kill(-this.#shell.pid, "SIGKILL");
    }
  };

  #answer(): void {
    const output = this.#output.slice(0, -MARK.length);
    this.#output = "";
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(output);
  }
}
