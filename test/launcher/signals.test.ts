import { randomInt } from "node:crypto";
import { rmSync } from "node:fs";
import * as assert from "uvu/assert";
import { pathWith } from "../namespace.js";
import { node } from "../need.js";
import { suite } from "../suite.js";
import { all, during, type Ending, held, mistakes, type Result, STOPPING, start, wrongEnd } from "./signal.js";
import { newPath, PORTSHIM, prepare, type Step, signalNumber, USER } from "./starter.js";

const test = suite("signals", "root", "tools", "compiler", "nodes");
test.before(prepare);

/** Every signal in every situation, and longer storms. */
const FULL = process.env.FULL === "1";
const STORM = Number(process.env.STORM ?? (FULL ? 2000 : 50));

/** By default these do nothing. */
const HARMLESS = ["CHLD", "CONT", "URG"].map(signalNumber);
const HALTING = ["STOP", "TSTP", "TTIN", "TTOU"].map(signalNumber);
const [HUP, TERM, KILL, CONT, WINCH] = ["HUP", "TERM", "KILL", "CONT", "WINCH"].map(signalNumber) as [
  ...[number, number, number, number, number],
];
/** All others end a process; the C library uses 32 and 33. */
const FATAL = [...Array.from({ length: 31 }, (_, i) => i + 1), 34, 50, 64].filter(
  (n) => ![...STOPPING, ...HARMLESS, ...HALTING, WINCH].includes(n),
);

/** How a stop ends portshim: as process 1 it cannot die of a signal. */
const stoppedBy = (signal: number, first: boolean): Ending => (first ? { exit: 128 + signal } : { signal });

const EITHER = [{ first: false }, { first: true }];
const either = <T>(others: readonly T[]) => EITHER.flatMap((one) => others.map((other) => ({ ...one, ...other })));

test("during the helper's run: HUP, INT, QUIT, TERM and USR1 stop portshim, and the helper with it", () =>
  all(either(STOPPING.map((signal) => ({ signal }))), async ({ first, signal }) =>
    mistakes(await during({ first, signals: [signal] }), stoppedBy(signal, first)),
  ));

test("the same if the bridge ignores TERM", () =>
  all(either(STOPPING.map((signal) => ({ signal }))), async ({ first, signal }) => {
    const bridge = { script: "trap '' TERM; exec sleep 1000" };
    return mistakes(await during({ first, signals: [signal], bridge }), stoppedBy(signal, first));
  }));

test("the same if the helper itself is halted: it is killed", () =>
  all(either([{}]), async ({ first }) => {
    // Before it reports that it was started: the helper is halted when a signal comes.
    const bridge = { announce: `kill -s STOP "$PPID"; echo held` };
    return mistakes(await during({ first, signals: [TERM], bridge }), stoppedBy(TERM, first));
  }));

test("the same again and again: it is killed a second after the first", () =>
  all(either([{}]), async ({ first }) => {
    const bridge = { announce: `kill -s STOP "$PPID"; echo held` };
    const result = await during({ first, signals: new Array(60).fill(TERM), bridge });
    const [sent = 0] = result.signals;
    const late = result.ended - sent > 1_800_000_000 ? "it ended too late" : "";
    return mistakes(result, stoppedBy(TERM, first)) || late;
  }));

test("the same twice, and several at once: the first counts", () =>
  all([[TERM, TERM], STOPPING], async (signals) => {
    const bridge = { script: "trap '' TERM; exec sleep 1000" };
    return mistakes(await during({ signals, bridge }), { signal: signals[0] ?? 0 });
  }));

test("sent to the whole process group, as a terminal does", () =>
  all(
    STOPPING.map((signal) => ({ signal })),
    async ({ signal }) =>
      mistakes(await during({ verb: "signal-group", steps: [["group"]], signals: [signal] }), { signal }),
  ));

test("every other signal that ends a process: the helper and the bridge are gone with it", () =>
  all(
    FATAL.map((signal) => ({ signal })),
    async ({ signal }) => mistakes(await during({ signals: [signal] }), { signal }),
  ));

test("a signal that only halts, then CONT, then TERM", () =>
  all(
    HALTING.map((signal) => ({ signal })),
    async ({ signal }) => mistakes(await during({ signals: [signal, CONT, TERM] }), { signal: TERM }),
  ));

test("harmless signals stop nothing, and TERM after them does", () =>
  all(EITHER, async ({ first }) =>
    mistakes(await during({ first, signals: [...HARMLESS, TERM] }), stoppedBy(TERM, first)),
  ));

test("as process 1 it survives all others, like any process 1; then TERM ends it", async () => {
  const signals = [...FATAL.filter((n) => n !== KILL), TERM];
  assert.is(mistakes(await during({ first: true, signals }), { exit: 128 + TERM }), "");
});

test("KILL to process 1", async () => {
  assert.is(mistakes(await during({ first: true, signals: [KILL] }), { signal: KILL }), "");
});

test("WINCH by kill(2), as STOPSIGNAL sends it: it stops process 1, and what has no terminal", () =>
  all(
    [
      { first: false, terminal: false },
      { first: true, terminal: false },
      { first: true, terminal: true },
    ],
    async ({ first, terminal }) => {
      const steps: Step[] = terminal ? [["terminal"]] : [];
      return mistakes(await during({ first, steps, signals: [WINCH] }), { exit: 128 + WINCH });
    },
  ));

/** The bridge runs `script` and fails; the server must start all the same, and ends with 7. */
const servedAfter = async (script: string, first: boolean, steps: readonly Step[] = []): Promise<string> => {
  const flags = ["--optional"];
  const result = await during({ first, flags, steps, bridge: { script }, command: ["exit", "7"] });
  const text = wrongEnd(result, { exit: 7 });
  if (text) return `${text}: ${result.stderr}${result.screen}`;
  // USR1 makes Node listen for a debugger, on a port that any user can connect to.
  return /debugger/i.test(result.stderr) ? result.stderr : "";
};

/** The launcher's pid in its own namespace. */
const pidOf = (first: boolean) => (first ? 1 : 2);

test("WINCH by kill(2) is somebody's relay of a terminal's if there is a terminal: it stops nothing", async () => {
  assert.is(await servedAfter(`kill -s WINCH ${pidOf(false)}; exit 1`, false, [["terminal"]]), "");
});

test("many of them, with few descriptors: nor do these", async () => {
  const script = `i=0; while [ $i -lt 150 ]; do kill -s WINCH ${pidOf(false)}; sleep 0.001; i=$((i + 1)); done; exit 1`;
  assert.is(await servedAfter(script, false, [["terminal"], ["limit", 7, 64, 4096]]), "");
});

test("a terminal that changes its size stops nothing", () =>
  all(EITHER, ({ first }) => {
    const script = "until [ \"$(stty size </dev/tty)\" = '50 80' ]; do sleep 0.01; done; exit 1";
    return servedAfter(script, first, [["terminal"], ["resize", "held", 50]]);
  }));

/** The bridge runs `script`, then the server reports what it was given; instead of that a text: it did not start. */
async function givenAfter(
  script: string,
  first: boolean,
  steps: readonly Step[],
): Promise<string | Record<string, string>> {
  const path = newPath();
  const result = await start(path, {
    first,
    threshold: 1024,
    flags: ["--optional"],
    command: ["report", path],
    steps: [["open", 9, path, 0o101], ["close", 9], ...held(path, { script }), ...steps],
  });
  rmSync(`${path}.held`);
  return result.written
    ? JSON.parse(result.written)
    : `status ${result.exit}, signal ${result.signal}: ${result.stderr}`;
}

test("signals that were ignored or blocked at the start are the server's", () =>
  all(either([{ verb: "ignore" }, { verb: "block" }]), async ({ first, verb }) => {
    const signals = [...STOPPING, WINCH];
    const kills = signals.map((n) => `kill -${n} ${pidOf(first)}`).join("; ");
    const steps = signals.map((n): Step => [verb, n]);
    const given = await givenAfter(`${kills}; exit 1`, first, steps);
    if (typeof given === "string") return given;
    const { SigBlk, SigIgn, ShdPnd } = given;
    const none = "0".repeat(16);
    const set = signals.reduce((mask, n) => mask | (1 << (n - 1)), 0);
    const every = set.toString(16).padStart(16, "0");
    const found = `blocked ${SigBlk}, ignored ${SigIgn}, pending ${ShdPnd}`;
    const expected =
      verb === "ignore"
        ? `blocked ${none}, ignored ${every}, pending ${none}`
        : `blocked ${every}, ignored ${none}, pending ${every}`;
    return found === expected ? "" : found;
  }));

test("an inherited child that ends together with the helper: its signal is the server's", () =>
  all(EITHER, async ({ first }) => {
    const launcher = pidOf(first);
    const dead = (pid: string) => `until grep -q 'State:.Z' /proc/${pid}/status; do sleep 0.01; done`;
    const script = `
      helper=$PPID
      for pid in $(cat /proc/${launcher}/task/${launcher}/children); do [ $pid = $helper ] || child=$pid; done
      (
        kill -s STOP ${launcher}
        for pid in $helper $child; do kill -s KILL $pid; ${dead("$pid")}; done
        kill -s CONT ${launcher}
      ) >/dev/null 2>&1 &
      exec sleep 1000`;
    const given = await givenAfter(script, first, [
      ["block", signalNumber("CHLD")],
      ["child", 1],
    ]);
    if (typeof given === "string") return given;
    return given.ShdPnd === "0000000000010000" ? "" : `pending ${given.ShdPnd}`;
  }));

test("a stop that is pending when the helper ends wins over what the helper says", () =>
  all(EITHER, async ({ first }) => {
    const launcher = `/proc/${pidOf(first)}/status`;
    // WINCH has a higher number than CHLD, so a launcher that stops looking after the first signal misses it.
    const script = [
      `until grep -q 'State:.T' ${launcher}; do sleep 0.01; done`,
      `kill -s WINCH ${pidOf(first)}`,
      `(until grep -q 'State:.Z' "/proc/$PPID/status"; do sleep 0.01; done; kill -s CONT ${pidOf(first)}) >/dev/null 2>&1 &`,
      "exit 1",
    ].join("\n");
    const result = await during({ first, flags: ["--optional"], signals: [signalNumber("STOP")], bridge: { script } });
    return mistakes(result, { exit: 128 + WINCH });
  }));

test("nohup: a signal to the whole group that was ignored at the start stops nothing, the helper neither", () =>
  all(
    ["HUP", "INT", "QUIT", "USR1", "WINCH"].map((name) => ({ signal: signalNumber(name) })),
    ({ signal }) => {
      const script = `trap '' ${signal}; kill -${signal} -${pidOf(false)}; exit 1`;
      return servedAfter(script, false, [["group"], ["ignore", signal]]);
    },
  ));

test("a helper that is killed: 69 and a sentence, or the server with --optional; it leaves no prompt behind", async () => {
  const script = 'kill -s KILL "$PPID"; exec sleep 1000';
  const result = await during({ bridge: { script } });
  assert.is(mistakes(result, { exit: 69 }), "");
  assert.match(result.stderr, "portshim: cannot run Node.js 20 or later, which is needed here: Killed\n");
  assert.is(await servedAfter(script, false), "");
});

test("a launcher that is killed leaves neither helper nor prompt behind, even if Node has capabilities of its own", async () => {
  for (const signal of [KILL, TERM]) {
    const result = await during({
      path: `/mnt:${pathWith(26)}`,
      signals: [signal],
      steps: [
        ["empty", "/mnt"],
        ["shell", `cp ${node(26)} /mnt/node && setcap cap_net_bind_service=+ep /mnt/node`],
        ["user", USER],
      ],
      bridge: { bounded: false, announce: 'grep CapEff "/proc/$PPID/status"' },
    });
    assert.is(result.announced, "CapEff:\t0000000000000400\n", "with them exec drops the signal at the parent's death");
    assert.is(mistakes(result, { signal }), "");
  }
});

for (const path of ["fast", "slow"] as const) {
  const threshold = path === "fast" ? 80 : 1024;

  test(`${path}: every signal to the running server has the effect that it has without portshim`, async () => {
    const signals = path === "fast" || FULL ? [...STOPPING, ...FATAL] : [...STOPPING, KILL];
    const send = async (signal: number, mode: string, first: boolean, portshim?: string[]): Promise<Result> => {
      const file = newPath();
      // Process 1 survives most signals; this ends it.
      const steps: Step[] = [["signal", file, 5_000, signal]];
      if (first) steps.push(["signal", "+", 300_000, KILL]);
      return start(file, { portshim, first, threshold, command: [mode, file], steps });
    };
    const cases = either(["serve", "handle"].flatMap((mode) => signals.map((signal) => ({ mode, signal }))));
    await all(
      cases.filter(({ first, signal }) => FULL || !first || STOPPING.includes(signal)),
      async ({ mode, signal, first }) => {
        const [one, other] = [await send(signal, mode, first), await send(signal, mode, first, [PORTSHIM])];
        if (one.served === undefined || other.served === undefined) return `not served: ${other.stderr}`;
        if (other.survivors.length > 0) return `survivors ${other.survivors}`;
        const [a, b] = [`${one.exit} ${one.signal}`, `${other.exit} ${other.signal}`];
        return a === b ? "" : `${a} became ${b}`;
      },
    );
  });

  test(`${path}: the server's own status comes through`, () => {
    const statuses =
      path === "fast" || FULL
        ? Array.from({ length: 256 }, (_, i) => i)
        : [0, 1, 2, 64, 69, 70, 77, 126, 127, 143, 255];
    return all(statuses, async (status) => {
      const result = await start(newPath(), { threshold, command: ["exit", String(status)] });
      return result.exit === status ? "" : `became ${result.exit} ${result.stderr}`;
    });
  });

  test(`${path}: so does its death by any signal`, () =>
    all(path === "fast" || FULL ? [...STOPPING, ...FATAL] : [KILL, TERM, signalNumber("SEGV")], async (signal) => {
      const result = await start(newPath(), { threshold, command: ["die", String(signal)] });
      return result.signal === signal ? "" : `became ${result.signal}, status ${result.exit}, ${result.stderr}`;
    }));
}

for (const [key, bytes, name] of [
  ["Ctrl-C", "\x03", "INT"],
  ["Ctrl-\\", "\x1c", "QUIT"],
] as const) {
  const signal = signalNumber(name);

  test(`${key} on a terminal, while the helper waits`, async () => {
    const steps: Step[] = [["terminal"], ["type", "held", bytes]];
    assert.is(mistakes(await during({ steps }), { signal }), "");
  });

  test(`${key} on a terminal, while the server runs`, () =>
    all([80, 1024], async (threshold) => {
      const steps: Step[] = [["terminal"], ["type", "serving", bytes]];
      return wrongEnd(await start(newPath(), { threshold, steps }), { signal });
    }));
}

test("the terminal goes away while the helper waits", async () => {
  const steps: Step[] = [["terminal"], ["hangup", "held"]];
  assert.is(mistakes(await during({ steps }), { signal: HUP }), "");
});

test("a signal about the time at which the helper is forked: it does not wait for a bridge that hangs", () =>
  all(
    Array.from({ length: STORM / 2 }, () => randomInt(5_000)),
    async (after) => {
      const path = newPath();
      const result = await start(path, { threshold: 1024, steps: [...held(path), ["signal", "", after, TERM]] });
      rmSync(`${path}.held`, { force: true });
      return mistakes(result, { signal: TERM });
    },
  ));

for (const [name, threshold] of [
  ["fast", 80],
  ["slow", 1024],
] as const) {
  /** Random moments, in microseconds, from the start to somewhat after the server's main. */
  const moments = async () => {
    const { ms } = await start(newPath(), { threshold, command: ["exit", "0"] });
    return Array.from({ length: STORM }, () => randomInt(Math.ceil(1.5 * ms * 1000)));
  };

  test(`${name}: a storm: ${STORM} starts, each stopped at a random moment, and no stop is lost`, async () => {
    let stopped = 0;
    await all(await moments(), async (after) => {
      const signal = STOPPING[randomInt(STOPPING.length)] ?? TERM;
      const result = await start(newPath(), { threshold, steps: [["signal", "", after, signal]] });
      if (result.served === undefined) stopped++;
      const text = wrongEnd(result, { signal });
      return text && `signal ${signal}: ${text}`;
    });
    assert.ok(stopped > 0, "no stop came before the server's main");
  });

  // The kernel drops signals for which process 1 has no handler, unless they are blocked: so a stop is lost before
  // portshim waits for its helper, between its last look and exec, and until the server has handlers, as it is without
  // portshim.
  test(`${name}: a storm on process 1: no stop is lost while the helper runs, or once the server handles it`, async () => {
    let [kept, stopped] = [0, 0];
    await all(await moments(), async (after) => {
      const path = newPath();
      const result = await start(path, {
        first: true,
        threshold,
        command: ["handle", path],
        steps: [
          ["signal", "", after, TERM],
          // The second one ends a server that missed the first.
          ["signal", path, 500_000, TERM],
        ],
      });
      const isLost = result.signals.length > 1;
      if (result.kept[0]) kept++;
      if (result.exit === 128 + TERM) stopped++;
      if (isLost && result.kept[0]) return "lost";
      return result.exit === 0 || (result.exit === 128 + TERM && name === "slow") ? "" : wrongEnd(result, { exit: 0 });
    });
    assert.ok(kept > 0, "none came when it had to be kept");
    assert.ok(name === "fast" || stopped > 0, "none stopped portshim");
  });
}

test.run();
