import { type SpawnSyncOptions, type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { machine, tmpdir } from "node:os";
import { join, resolve } from "node:path";

// These are the tests' own, in their build.
type Labs = typeof import("../../build/lab/lab.js");
type Engines = typeof import("../../build/lab/engine.js");
export type Lab = Awaited<ReturnType<Labs["startLab"]>>;
export type Engine = Awaited<ReturnType<Engines["startEngine"]>>;

/** The checkout. */
export const ROOT = resolve(__dirname, "..", "..", "..");
export const SHIM = join(ROOT, "shim");
/** The launcher of this machine. */
export const LAUNCHER = join(SHIM, "launcher", `portshim-${machine()}`);
/** The newest Node that is tested. */
export const NODE26 = join(ROOT, "test", "nodes", "node_modules", "node26", "bin", "node");
export const SETTING = "net.ipv4.ip_unprivileged_port_start";
export const SETTING_FILE = `/proc/sys/${SETTING.replaceAll(".", "/")}`;

/** What measurements share. */
export interface Bench {
  /** How many rounds to measure, of the usual number. */
  rounds(usual: number): number;
  /** A folder on this machine that is removed at the end. */
  readonly folder: string;
  /** The tests' lab, which boots with its first use. */
  lab(): Promise<Lab>;
  /** Its user's podman. */
  engine(): Promise<Engine>;
  /** Switches the lab off. */
  end(): Promise<void>;
}

/** `share` is that of the usual numbers of rounds. */
export function startBench(share: number): Bench {
  const folder = mkdtempSync(join(tmpdir(), "portshim-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  let lab: Promise<Lab> | undefined;
  let engine: Promise<Engine> | undefined;
  const bench: Bench = {
    folder,
    rounds: (usual) => Math.max(3, Math.ceil(usual * share)),
    lab: () => {
      lab ??= (require(join(ROOT, "build/lab/lab.js")) as Labs).startLab();
      return lab;
    },
    engine: () => {
      engine ??= bench
        .lab()
        .then((booted) => (require(join(ROOT, "build/lab/engine.js")) as Engines).startEngine(booted));
      return engine;
    },
    end: async () => (await lab?.catch(() => undefined))?.stop(),
  };
  return bench;
}

/** Runs a command to its end, and gives its standard output. Throws if it fails. */
export function run(argv: readonly string[], options: SpawnSyncOptions = {}): string {
  const [program = "", ...rest] = argv;
  const result = spawnSync(program, rest, { maxBuffer: 1 << 28, ...options, encoding: "utf8" });
  return must(argv, result as SpawnSyncReturns<string>);
}

/** A finished command's standard output. Throws if it failed. */
export function must(
  argv: readonly string[],
  {
    status,
    stdout,
    stderr,
    error,
  }: { status: number | null; stdout: string; stderr: string; error?: Error | undefined },
): string {
  if (status === 0) return stdout;
  throw new Error(`${argv.join(" ").slice(0, 200)}: ${error?.message ?? `status ${status}`}\n${stderr}${stdout}`);
}
