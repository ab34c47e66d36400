import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Arguments, parse } from "../../shim/lib/cli/arguments.js";
import { wanted } from "../../shim/lib/facts/facts.js";
import { isSatisfied } from "../../shim/lib/here/threshold.js";
import { resolveTexts } from "../../shim/lib/sysctl/resolve.js";
import { ROOT } from "../need.js";

// Runs fuzz.c, and compares what the launcher made of each input with what the helper would.

const SOURCE = join(ROOT, "test", "launcher", "fuzz.c");
/** Inputs that together reach all that any input has reached, a file each. */
export const CORPUS = join(ROOT, "test", "launcher", "corpus");
const DICTIONARY = join(ROOT, "test", "launcher", "fuzz.dict");

const FLAGS = [
  ...["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"],
  ...["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"],
];

/** Longest input, in bytes: a corpus of such is quick to run. */
export const LONGEST = 1024;

/** As in fuzz.c. */
const HEADER = 8;
const SEPARATOR = 0x1e;
const MOST = 64;
const HAS_HOST = 1;
const NO_SETTING = 64;
const PATHS = [
  "etc/sysctl.d/50-a.conf",
  "etc/sysctl.d/60-b.conf",
  "run/sysctl.d/50-a.conf",
  "run/sysctl.d/70-d.conf",
  "usr/local/lib/sysctl.d/60-b.conf",
  "usr/lib/sysctl.d/50-a.conf",
  "usr/lib/sysctl.d/80-g.conf",
  "etc/sysctl.conf",
  "etc/sysctl.d/50-a.conf",
  "run/sysctl.d/70-d.conf",
  "usr/lib/sysctl.d/80-g.conf",
  "etc/sysctl.conf",
];
const FIRST_OF_HOST = 8;
const THRESHOLDS = [0, 1, 22, 53, 70, 79, 80, 81, 100, 443, 631, 1023, 1024, 1025, 32768, 65535];

/** What the launcher made of an input. */
interface Verdict {
  /** -1: not asked for, or invalid. */
  readonly start: number;
  readonly timeout: number;
  readonly isPlain: boolean;
  readonly isOptional: boolean;
  readonly canPrompt: boolean;
  readonly isSatisfied: boolean;
}

/** An input, taken apart. */
interface Situation {
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  /** Undefined: the kernel has no such setting. */
  readonly live: number | undefined;
  readonly here: ReadonlyMap<string, string>;
  /** Undefined: no host is seen. */
  readonly host: ReadonlyMap<string, string> | undefined;
}

function situation(input: Buffer): Situation {
  const argv: string[] = [];
  const env: Record<string, string> = {};
  let variables = 0;
  const [here, host] = [new Map<string, string>(), new Map<string, string>()];
  for (let at = HEADER; at < input.length; ) {
    const found = input.indexOf(SEPARATOR, at);
    const end = found < 0 ? input.length : found;
    const kind = String.fromCharCode(input[at] as number);
    const rest = input.subarray(at + 1, end);
    const slot = kind.charCodeAt(0) - 65;
    if (at < end) {
      if (kind === "w" && argv.length < MOST) argv.push(untilNul(rest));
      if (kind === "v" && variables++ < MOST) setOnce(env, untilNul(rest));
      const path = PATHS[slot];
      if (path !== undefined) (slot < FIRST_OF_HOST ? here : host).set(path, rest.toString("latin1"));
    }
    at = end + 1;
  }
  const [threshold = 0, flags = 0] = input;
  return {
    argv,
    env,
    live: flags & NO_SETTING ? undefined : THRESHOLDS[threshold % 16],
    here,
    host: flags & HAS_HOST ? host : undefined,
  };
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return (end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
}

/** getenv(3), and so Node, finds the first of two. */
function setOnce(env: Record<string, string>, text: string): void {
  const at = text.indexOf("=");
  if (at > 0 && !Object.hasOwn(env, text.slice(0, at))) env[text.slice(0, at)] = text.slice(at + 1);
}

/** What the launcher decided that it must not; undefined: nothing. */
function wrong(verdict: Verdict, { argv, env, live, here, host }: Situation): string | undefined {
  let parsed: Arguments | undefined;
  const purpose = (["persist", "guard", "check"] as const).find((name) => name === argv[0]);
  try {
    parsed = parse(purpose === undefined ? argv : argv.slice(1), env, purpose ?? "start");
  } catch {}
  const { options } = parsed ?? {};
  const isDry = options === undefined || options.dryRun || options.help || options.version;
  const asks =
    purpose === undefined || purpose === "persist" || (purpose === "guard" && (options?.apply || options?.remove));
  if (!isDry && asks && !verdict.canPrompt) return "the helper can open a prompt, and there is no lock";
  if (verdict.isOptional && options !== undefined && (isDry || options.user !== undefined || purpose !== undefined))
    return "--optional covers what it must not";
  if (!verdict.isPlain) return undefined;
  if (options === undefined || isDry || options.verbose || options.via !== undefined || options.user !== undefined)
    return "the helper would not have started the command just like that";
  if ((options.start ?? -1) !== verdict.start) return `--start is ${options.start} to the helper`;
  if (options.timeout !== verdict.timeout) return `--timeout is ${options.timeout} to the helper`;
  if (!verdict.isSatisfied) return undefined;
  const goal = wanted(
    options.start,
    () => resolveTexts(here),
    () => host && resolveTexts(host),
  );
  return isSatisfied(live, goal.value) ? undefined : `${goal.by} asks for ${goal.value}, and the helper is not asked`;
}

/** In bytes, of `struct verdict` with its length. */
const VERDICT = 20;

/** How a run of the fuzzer ended. */
export interface Fuzzed {
  /** How many inputs the helper was asked about. */
  readonly inputs: number;
  /** How many of them let the command start at once. */
  readonly satisfied: number;
  /** What was found, for a person; empty: nothing. */
  readonly faults: readonly string[];
}

/** fuzz.c, compiled. */
export class Fuzzer {
  readonly #place = mkdtempSync(join(tmpdir(), "portshim-fuzz-"));
  readonly #program = join(this.#place, "fuzz");

  constructor() {
    execFileSync("clang", [...FLAGS, "-o", this.#program, SOURCE]);
    mkdirSync(join(this.#place, "new"));
  }

  close(): void {
    rmSync(this.#place, { recursive: true });
  }

  /** The corpus alone. */
  replay(): Promise<Fuzzed> {
    return this.#run(["-runs=0", CORPUS]);
  }

  /** The corpus, then so many inputs that are made from it, or for so many seconds. */
  fuzz(seed: number, inputs: number, seconds: number): Promise<Fuzzed> {
    const limits = [`-seed=${seed}`, `-runs=${inputs}`, `-max_total_time=${seconds}`];
    return this.#run([...limits, join(this.#place, "new"), CORPUS]);
  }

  /** Puts the smallest inputs into a folder that together reach all the code that the corpus and the runs so far have. */
  merge(to: string): void {
    mkdirSync(to, { recursive: true });
    const options = ["-merge=1", "-use_counters=0", `-max_len=${LONGEST}`];
    execFileSync(this.#program, [...options, to, CORPUS, join(this.#place, "new")], { stdio: "ignore" });
  }

  async #run(argv: readonly string[]): Promise<Fuzzed> {
    const options = [`-max_len=${LONGEST}`, "-timeout=5", "-rss_limit_mb=512", `-dict=${DICTIONARY}`];
    const child = spawn(this.#program, [...options, `-artifact_prefix=${this.#place}/fault-`, ...argv], {
      cwd: this.#place,
      env: { ASAN_OPTIONS: "detect_leaks=1", FUZZ_TELL: "3" },
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    let said = "";
    (child.stderr as Readable).setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(-4000);
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const faults: string[] = [];
    const count = { inputs: 0, satisfied: 0 };
    for await (const [verdict, input] of frames(child.stdio[3] as Readable)) {
      count.inputs++;
      if (verdict.isSatisfied) count.satisfied++;
      const mistake = wrong(verdict, situation(input));
      if (mistake === undefined) continue;
      faults.push(`${mistake}: ${JSON.stringify(verdict)}\n${JSON.stringify(input.toString("latin1"))}`);
      break;
    }
    if (faults.length > 0) child.kill("SIGKILL");
    else if ((await ended) !== 0) faults.push(said, ...this.#artifacts());
    return { ...count, faults };
  }

  #artifacts(): string[] {
    const names = readdirSync(this.#place).filter((name) => name.startsWith("fault-"));
    return names.map((name) => JSON.stringify(readFileSync(join(this.#place, name), "latin1")));
  }
}

async function* frames(stream: Readable): AsyncGenerator<[Verdict, Buffer]> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    let at = 0;
    while (rest.length - at >= VERDICT) {
      const end = at + 4 + rest.readUInt32LE(at);
      if (end > rest.length) break;
      const is = (byte: number) => rest[at + 12 + byte] !== 0;
      const verdict = {
        start: rest.readInt32LE(at + 4),
        timeout: rest.readInt32LE(at + 8),
        isPlain: is(0),
        isOptional: is(1),
        canPrompt: is(2),
        isSatisfied: is(4),
      };
      yield [verdict, rest.subarray(at + VERDICT, end)];
      at = end;
    }
    rest = rest.subarray(at);
  }
}

/** As many as the project's promise is about. */
const USUAL = 10_000_000;

/** `npm run fuzz [COUNT] [FOLDER]`: so many inputs; then a corpus into the folder, if one is named. */
async function main([count = String(USUAL), folder]: readonly string[]): Promise<void> {
  const fuzzer = new Fuzzer();
  try {
    const seed = Number(process.env.SEED || Date.now() % 2 ** 31);
    const started = Date.now();
    const { inputs, satisfied, faults } = await fuzzer.fuzz(seed, Number(count), 0);
    const seconds = Math.round((Date.now() - started) / 1000);
    console.log(`SEED=${seed}: ${inputs} inputs, ${satisfied} satisfied, in ${seconds} s`);
    for (const fault of faults) console.log(fault);
    if (folder !== undefined) fuzzer.merge(folder);
    process.exitCode = faults.length > 0 ? 1 : 0;
  } finally {
    fuzzer.close();
  }
}

if (require.main === module) main(process.argv.slice(2));
