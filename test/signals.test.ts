import { randomInt } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import * as assert from "uvu/assert";
import {
  content,
  each,
  glance,
  launch,
  newPath,
  type Outcome,
  PORTSHIM,
  PROBE,
  prepare,
  SHELLS,
  type Step,
  signalNumber,
  streams,
  tidy,
  UNDECLARED,
} from "./launcher.js";
import { pathWith } from "./namespace.js";
import { suite } from "./suite.js";

const test = suite("signals", "root", "shells", "compiler", "nodes");
test.before(prepare);

/** Try everything on every shell, and for longer. */
const FULL = process.env.FULL === "1";
const STORM = Number(process.env.STORM ?? (FULL ? 500 : 40));

/** The four that portshim traps: none may be swallowed. */
const STOPPING = ["HUP", "INT", "QUIT", "TERM"].map(signalNumber);
/** By themselves these do nothing. */
const HARMLESS = ["CHLD", "CONT", "URG", "WINCH"].map(signalNumber);
const HALTING = ["STOP", "TSTP", "TTIN", "TTOU"].map(signalNumber);
const TERM = signalNumber("TERM");
const QUIT = signalNumber("QUIT");
const KILL = signalNumber("KILL");
const CONT = signalNumber("CONT");
/** All others end a process; 32 and 33 belong to the C library. */
const FATAL = [...Array.from({ length: 31 }, (_, i) => i + 1), 34, 50, 64].filter(
  (n) => ![...STOPPING, ...HARMLESS, ...HALTING].includes(n),
);
/** Those of them that somebody sends; the rest takes turns with the shells. */
const COMMON = ["KILL", "USR1", "USR2", "ALRM", "PIPE"].map(signalNumber);

/** No core files. */
const NO_CORE: Step = ["limit", 4, 0, 0];
const LONGEST = 1000;

interface Start {
  shell?: string | undefined;
  first?: boolean;
  threshold?: number;
  steps?: readonly Step[];
  flags?: readonly string[];
  command?: readonly string[];
}

interface Result extends Outcome {
  /** When the server's main began, or undefined: it was not started. */
  readonly served: number | undefined;
  readonly stderr: string;
  readonly shell: string | undefined;
  /** From the last signal to the end, in milliseconds. */
  readonly took: number;
}

/** Starts `command` (default: a server) through portshim, or by itself where no shell is given. */
async function start(path: string, options: Start): Promise<Result> {
  const { shell, first = false, threshold = 80, steps = [], flags = [] } = options;
  const portshim = shell ? [...(SHELLS[shell] ?? []), PORTSHIM, ...flags, "--"] : [];
  const outcome = await launch(path, [
    ...UNDECLARED,
    ...glance(shell),
    ["patience", 3000],
    ["threshold", threshold],
    ...(first ? [["first"] as const] : []),
    ...streams(path),
    NO_CORE,
    ...steps,
    ...[...portshim, PROBE, ...(options.command ?? ["serve", path])].map((arg): Step => ["arg", arg]),
    ["env", `PATH=${pathWith(26)}`],
  ]);
  const served = content(path);
  const stderr = content(`${path}.stderr`);
  tidy(path);
  const last = outcome.signals.at(-1) ?? outcome.ended;
  return {
    ...outcome,
    served: served ? Number.parseInt(served, 10) : undefined,
    stderr,
    shell,
    took: (outcome.ended - last) / 1e6,
  };
}

/**
 * What holds the helper for as long as the test needs it: a toolbox whose bridge does not answer. The bridge is a
 * marked fake, a script that says it was started (in the file `held` and on the terminal) and sleeps.
 */
function held(path: string, obstinate = false): Step[] {
  const bridge = [
    "#!/bin/sh",
    ...(obstinate ? ["trap '' TERM"] : []),
    `echo held >${path}.held`,
    "(echo held >/dev/tty) 2>/dev/null",
    "exec /bin/sleep 1000",
  ];
  return [
    ["empty", "/run"],
    ["make", "/run/.toolboxenv", ""],
    ["make", "/run/.containerenv", ""],
    ["empty", "/usr/libexec"],
    ["make", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn", bridge.join("\n")],
    ["readonly", "/proc/sys"],
    // All capabilities but CAP_NET_BIND_SERVICE: with it there would be nothing to do.
    ["bounding", "0xfffffffffffffbff"],
  ];
}

/** Has the helper held, then the signals sent, 20 ms apart. */
async function during(
  options: Start & { signals: readonly number[]; obstinate?: boolean; verb?: string },
): Promise<Result> {
  const path = newPath();
  const result = await start(path, {
    threshold: 1024,
    ...options,
    steps: [
      ...held(path, options.obstinate),
      ...(options.steps ?? []),
      ...options.signals.map((n, i): Step => [options.verb ?? "signal", i === 0 ? `${path}.held` : "+", 20_000, n]),
    ],
  });
  assert.ok(existsSync(`${path}.held`), `the helper was not held: ${result.stderr}`);
  rmSync(`${path}.held`);
  return result;
}

/** What went wrong with a start that a signal should have ended; nothing, if all is well. */
function mistakes(result: Result, ending: { exit?: number; signal?: number }): string {
  const { exit = -1, signal = 0 } = ending;
  // bash and busybox ignore QUIT unless they trap it, and so cannot end by it.
  if (signal === QUIT && result.shell !== "dash" && result.exit === 128 + QUIT) {
    return mistakes({ ...result, exit: -1, signal: QUIT, shell: "dash" }, ending);
  }
  return [
    result.exit !== exit && `status ${result.exit}, not ${exit}`,
    result.signal !== signal && `ended by signal ${result.signal}, not ${signal}`,
    result.timedOut && "it went on",
    result.took > LONGEST && `it took ${result.took} ms`,
    result.survivors.length > 0 && `survivors: ${result.survivors.join(", ").replaceAll("\0", " ")}`,
    result.served !== undefined && "the server was started",
  ]
    .filter(Boolean)
    .join("; ");
}

async function all<T extends { shell: string }>(
  items: readonly T[],
  work: (item: T) => Promise<string>,
): Promise<void> {
  const found: string[] = [];
  await each(items, async (item) => {
    const text = await work(item);
    if (text) found.push(`${JSON.stringify(item)}: ${text}`);
  });
  assert.is(found.sort().join("\n"), "");
}

const SHELL_NAMES = Object.keys(SHELLS);
const across = <T>(others: readonly T[]) =>
  SHELL_NAMES.flatMap((shell) => others.map((other) => ({ shell, ...other })));

const inTurns = (signals: readonly number[]) =>
  across(signals.map((signal) => ({ signal }))).filter(
    ({ shell, signal }) =>
      FULL || COMMON.includes(signal) || SHELL_NAMES.indexOf(shell) === signals.indexOf(signal) % SHELL_NAMES.length,
  );

test("during the helper's run: HUP, INT, QUIT and TERM end portshim by that signal, and the helper with it", () =>
  all(across(STOPPING.map((signal) => ({ signal }))), async ({ shell, signal }) =>
    mistakes(await during({ shell, signals: [signal] }), { signal }),
  ));

test("the same as process 1: 128+N", () =>
  all(across(STOPPING.map((signal) => ({ signal }))), async ({ shell, signal }) =>
    mistakes(await during({ shell, first: true, signals: [signal] }), { exit: 128 + signal }),
  ));

test("the same where the bridge does not mind TERM", () =>
  all(across(STOPPING.map((signal) => ({ signal, obstinate: true }))), async ({ shell, signal, obstinate }) =>
    mistakes(await during({ shell, signals: [signal], obstinate }), { signal }),
  ));

test("the same twice, and several at once: the first counts or the second, and nothing else does", () =>
  all(across([{ signals: [TERM, TERM] }, { signals: STOPPING }]), async ({ shell, signals }) => {
    const result = await during({ shell, signals, obstinate: true });
    return signals.includes(result.signal)
      ? mistakes(result, { signal: result.signal })
      : mistakes(result, { signal: TERM });
  }));

test("sent to the whole process group, as a terminal does", () =>
  all(across(STOPPING.map((signal) => ({ signal }))), async ({ shell, signal }) =>
    mistakes(await during({ shell, verb: "signal-group", steps: [["group"]], signals: [signal] }), { signal }),
  ));

test("every other signal that ends a process: the helper is gone within a second", () =>
  all(inTurns(FATAL), async ({ shell, signal }) => mistakes(await during({ shell, signals: [signal] }), { signal })));

test("a signal that only halts, then CONT, then TERM", () =>
  all(across(HALTING.map((signal) => ({ signal }))), async ({ shell, signal }) =>
    mistakes(await during({ shell, signals: [signal, CONT, TERM] }), { signal: TERM }),
  ));

test("harmless signals stop nothing, and TERM after them does", () =>
  all(across([{ first: false }, { first: true }]), async ({ shell, first }) =>
    mistakes(
      await during({ shell, first, signals: [...HARMLESS, TERM] }),
      first ? { exit: 128 + TERM } : { signal: TERM },
    ),
  ));

test("as process 1 the kernel spares it all others, as any process 1; then TERM ends it", () =>
  all(across([{}]), async ({ shell }) =>
    mistakes(await during({ shell, first: true, signals: [...FATAL.filter((n) => n !== KILL), TERM] }), {
      exit: 128 + TERM,
    }),
  ));

test("KILL to process 1", () =>
  all(across([{}]), async ({ shell }) =>
    mistakes(await during({ shell, first: true, signals: [KILL] }), { signal: KILL }),
  ));

test("a signal that was ignored from the start stays so for the helper too: the server starts", () =>
  all(across([{ signal: "HUP" }, { signal: "INT" }, { signal: "QUIT" }]), async ({ shell, signal }) => {
    const path = newPath();
    const number = signalNumber(signal);
    const steps: Step[] = held(path).map(
      (step): Step =>
        step[0] === "make" && String(step[1]).endsWith("flatpak-spawn")
          ? ["make", step[1] as string, `#!/bin/sh\necho held >${path}.held\n/bin/sleep 0.5\nexit 1\n`]
          : step,
    );
    const result = await start(path, {
      shell,
      threshold: 1024,
      flags: ["--start=80", "--optional"],
      steps: [
        ...steps,
        ["group"],
        ["ignore", number],
        ["signal-group", `${path}.held`, 100_000, number],
        ["signal", path, 50_000, TERM],
      ],
    });
    rmSync(`${path}.held`, { force: true });
    if (result.served === undefined) return `the server was not started: status ${result.exit}, ${result.stderr}`;
    return result.signal === TERM ? "" : `ended by ${result.signal}, status ${result.exit}`;
  }));

for (const path of ["fast", "slow"] as const) {
  const threshold = path === "fast" ? 80 : 1024;

  test(`${path}: every signal to the running server has the effect that it has without portshim`, async () => {
    const signals = path === "fast" || FULL ? [...STOPPING, ...FATAL] : [...STOPPING, KILL];
    for (const mode of ["serve", "handle"]) {
      const bare = new Map<string, Result>();
      const send = async (signal: number, shell: string | undefined, first: boolean) => {
        const file = newPath();
        // Process 1 is spared most; so it is ended in the end.
        const steps: Step[] = [["signal", file, 5_000, signal]];
        if (first) steps.push(["signal", "+", 300_000, KILL]);
        return start(file, { shell, first, threshold, command: [mode, file], steps });
      };
      for (const first of [false, true]) {
        const some = first && !FULL ? signals.filter((n) => STOPPING.includes(n)) : signals;
        await each(some, async (signal) => void bare.set(`${signal} ${first}`, await send(signal, undefined, first)));
        await all(across(some.map((signal) => ({ signal, first, mode }))), async ({ shell, signal }) => {
          const [one, other] = [bare.get(`${signal} ${first}`), await send(signal, shell, first)];
          if (one?.served === undefined || other.served === undefined) return `not served: ${other.stderr}`;
          if (other.survivors.length > 0) return `survivors ${other.survivors}`;
          const [a, b] = [`${one.exit} ${one.signal}`, `${other.exit} ${other.signal}`];
          return a === b ? "" : `${a} became ${b}`;
        });
      }
    }
  });

  test(`${path}: the server's own status comes through`, () => {
    const statuses = Array.from({ length: 256 }, (_, i) => i);
    const telling = statuses.filter(
      (n) => path === "fast" || [0, 1, 2, 100, 101, 125, 126, 127, 129, 143, 255].includes(n),
    );
    const cases = across(telling.map((status) => ({ status }))).filter(
      ({ shell, status }) => FULL || path === "slow" || SHELL_NAMES.indexOf(shell) === status % SHELL_NAMES.length,
    );
    return all(cases, async ({ shell, status }) => {
      const result = await start(newPath(), { shell, threshold, command: ["exit", String(status)] });
      return result.exit === status ? "" : `became ${result.exit} ${result.stderr}`;
    });
  });

  test(`${path}: so does its death by any signal`, () => {
    const some = path === "fast" || FULL ? [...STOPPING, ...FATAL] : [KILL, TERM, signalNumber("SEGV")];
    return all(across(some.map((signal) => ({ signal }))), async ({ shell, signal }) => {
      const result = await start(newPath(), { shell, threshold, command: ["die", String(signal)] });
      return result.signal === signal ? "" : `became ${result.signal}, status ${result.exit}, ${result.stderr}`;
    });
  });

  test(`${path}: the server that stops in good order on TERM does so as process 1, too`, () =>
    all(across([{}]), async ({ shell }) => {
      const file = newPath();
      const result = await start(file, {
        shell,
        first: true,
        threshold,
        command: ["handle", file],
        steps: [["signal", file, 5_000, TERM]],
      });
      return result.exit === 0 ? "" : `status ${result.exit}, signal ${result.signal}`;
    }));
}

for (const [key, bytes, name] of [
  ["Ctrl-C", "\x03", "INT"],
  ["Ctrl-\\", "\x1c", "QUIT"],
] as const) {
  const signal = signalNumber(name);

  test(`${key} on a terminal, while the helper waits`, () =>
    all(across([{}]), async ({ shell }) => {
      const path = newPath();
      const result = await start(path, {
        shell,
        threshold: 1024,
        steps: [...held(path), ["terminal"], ["type", "held", bytes]],
      });
      rmSync(`${path}.held`, { force: true });
      return mistakes(result, { signal });
    }));

  test(`${key} on a terminal, while the server runs`, () =>
    all(across([{ threshold: 80 }, { threshold: 1024 }]), async ({ shell, threshold }) => {
      const path = newPath();
      const result = await start(path, { shell, threshold, steps: [["terminal"], ["type", "serving", bytes]] });
      return mistakes({ ...result, served: undefined }, { signal });
    }));
}

test("the terminal goes away while the helper waits", () =>
  all(across([{}]), async ({ shell }) => {
    const path = newPath();
    const result = await start(path, {
      shell,
      threshold: 1024,
      steps: [...held(path), ["terminal"], ["hangup", "held"]],
    });
    rmSync(`${path}.held`, { force: true });
    return mistakes(result, { signal: signalNumber("HUP") });
  }));

/** A start of a storm whose signal was lost: what it was, and how many milliseconds later the server's main began. */
type Loss = { shell: string; signal: number; after: number; gap: number };

/**
 * Fails where a signal was lost that a shell can keep. What it cannot: bash ignores a signal for a moment while its
 * `trap` changes it, and no shell can hold a signal between its last look and exec: well below a millisecond each, so
 * that only very few of the starts may meet them.
 */
function bearable(losses: readonly Loss[]): void {
  if (losses.length > 0) console.log(`lost on the way: ${JSON.stringify(losses)}`);
  assert.ok(losses.length <= Math.max(3, STORM * 0.06), `${losses.length} signals were lost`);
}

test("a signal about the time at which the helper is forked: it does not wait for a bridge that hangs", async () => {
  const losses: Loss[] = [];
  const moments = across(Array.from({ length: STORM / 2 }, () => ({ after: randomInt(15_000) })));
  await all(moments, async ({ shell, after }) => {
    const path = newPath();
    const steps: Step[] = [...held(path), ["signal", "", after, TERM]];
    const result = await start(path, { shell, threshold: 1024, steps });
    rmSync(`${path}.held`, { force: true });
    if (result.timedOut && shell.startsWith("bash")) {
      losses.push({ shell, signal: TERM, after, gap: 0 });
      return "";
    }
    return mistakes(result, { signal: TERM });
  });
  bearable(losses);
});

for (const [name, threshold, longest] of [
  ["fast", 80, 12],
  ["slow", 1024, 120],
] as const) {
  const moments = () => across(Array.from({ length: STORM }, () => ({ after: randomInt(longest * 1000) })));

  test(`${name}: a storm: ${STORM} starts on each shell, each stopped at a random moment`, async () => {
    const losses: Loss[] = [];
    await all(moments(), async ({ shell, after }) => {
      // bash and busybox ignore QUIT from their first moment to their first trap.
      const some = shell === "dash" ? STOPPING : STOPPING.filter((n) => n !== QUIT);
      const signal = some[randomInt(some.length)] ?? TERM;
      const result = await start(newPath(), { shell, threshold, steps: [["signal", "", after, signal]] });
      const [sent = 0] = result.signals;
      if (result.served !== undefined && result.timedOut) {
        losses.push({ shell, signal, after, gap: (result.served - sent) / 1e6 });
        return "";
      }
      // A server that was started before the signal came has to die of it.
      const early = result.served !== undefined && result.served < sent;
      const text = mistakes(early ? { ...result, served: undefined } : result, { signal });
      return text && `signal ${signal}: ${text}`;
    });
    bearable(losses);
  });

  test(`${name}: a storm on process 1: ${STORM} starts on each shell`, async () => {
    const losses: Loss[] = [];
    await all(moments(), async ({ shell, after }) => {
      const path = newPath();
      const result = await start(path, {
        shell,
        first: true,
        threshold,
        command: ["handle", path],
        steps: [
          ["signal", "", after, TERM],
          ["signal", "+", (name === "fast" ? 300 : LONGEST) * 1000, TERM],
          ["signal", "+", LONGEST * 1000, TERM],
        ],
      });
      const [[sent = 0, again], [caught]] = [result.signals, result.caught];
      // The kernel drops what comes before process 1 has handlers, portshim's or the server's; then the second ends it.
      if (again !== undefined && caught && (result.served === undefined || result.served > sent)) {
        losses.push({
          shell,
          signal: TERM,
          after,
          gap: result.served ? (result.served - sent) / 1e6 : LONGEST,
        });
      }
      return result.exit === 128 + TERM || result.exit === 0 ? "" : `status ${result.exit}, signal ${result.signal}`;
    });
    bearable(losses);
  });
}

test.run();
