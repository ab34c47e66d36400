import { chmodSync, rmSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { pathWith } from "../namespace.js";
import {
  content,
  each,
  newPath,
  type Outcome,
  observe,
  PLAIN,
  PORTSHIM,
  PROBE,
  type Step,
  signalNumber,
  streams,
  tidy,
} from "./starter.js";

/** The signals that stop portshim while its helper runs; WINCH does only if no terminal can have sent it. */
export const STOPPING = ["HUP", "INT", "QUIT", "TERM", "USR1"].map(signalNumber);

/** A start to which signals are sent. */
export interface Start {
  /** The command that is portshim; default: the launcher; undefined: the server alone. */
  portshim?: readonly string[] | undefined;
  first?: boolean;
  threshold?: number;
  steps?: readonly Step[];
  flags?: readonly string[];
  /** The probe's mode and file; default: a server. */
  command?: readonly string[];
  path?: string;
}

export interface Result extends Outcome {
  /** When the server's main began; undefined: it did not start. */
  readonly served: number | undefined;
  /** What the server wrote. */
  readonly written: string;
  readonly stderr: string;
}

/** No core files. */
const NO_CORE: Step = ["limit", 4, 0, 0];

/** Milliseconds within which a start must end. */
const PATIENCE = 10_000;

export async function start(path: string, options: Start): Promise<Result> {
  const { first = false, threshold = 80, steps = [], flags = [] } = options;
  const portshim = "portshim" in options ? options.portshim : [PORTSHIM];
  const outcome = await observe(path, [
    ...PLAIN,
    ["patience", PATIENCE],
    ["threshold", threshold],
    ...(first ? [["first"] as const] : []),
    ...streams(path),
    NO_CORE,
    ...steps,
    ...(portshim ? [...portshim, ...flags, "--"] : []).map((arg): Step => ["arg", arg]),
    ...[PROBE, ...(options.command ?? ["serve", path])].map((arg): Step => ["arg", arg]),
    ["env", `PATH=${options.path ?? pathWith(26)}`],
  ]);
  const written = content(path);
  const stderr = content(`${path}.stderr`);
  tidy(path);
  return { ...outcome, served: written ? Number.parseInt(written, 10) : undefined, written, stderr };
}

/** What the bridge of held() does. */
interface Bridge {
  /** A command that reports that it was started. */
  announce?: string;
  /** What it does then; default: nothing. */
  script?: string;
  /** Capabilities; default: all but the one to bind ports, with which there would be nothing to do. */
  bounded?: boolean;
}

/**
 * What holds the helper for as long as the test needs it: a toolbox whose bridge is a marked fake, a script that answers
 * the question about the host, and where it is then to have a prompt opened says that it was started (in the file `held` and
 * on the terminal). A real one needs a person who answers when the test wants it.
 */
export function held(path: string, bridge: Bridge = {}): Step[] {
  const { announce = "echo held", script = "exec sleep 1000", bounded = true } = bridge;
  const lines = [
    "#!/bin/sh",
    "PATH=/usr/bin:/bin",
    // The question of host.ts.
    "echo /usr/bin/pkexec; echo /usr/sbin/sysctl; ls -Lid /proc/self/ns/net",
    "read -r command",
    `${announce} >${path}.held`,
    "(echo held >/dev/tty) 2>/dev/null",
    script,
  ];
  return [
    ["make", "/run/.toolboxenv", ""],
    ["make", "/run/.containerenv", ""],
    ["empty", "/usr/libexec"],
    ["make", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn", lines.join("\n")],
    ["readonly", "/proc/sys"],
    ...(bounded ? [["bounding", "0xfffffffffffffbff"] as const] : []),
  ];
}

/** A start whose helper is waiting, and what is sent to it. */
interface During extends Start {
  /** 20 ms apart. */
  signals?: readonly number[];
  /** The verb that sends them. */
  verb?: "signal" | "signal-group";
  bridge?: Bridge;
}

/** Sends the signals once the helper is waiting. */
export async function during(options: During): Promise<Result & { announced: string }> {
  const path = newPath();
  // Another user can run the bridge.
  writeFileSync(`${path}.held`, "");
  chmodSync(`${path}.held`, 0o666);
  const result = await start(path, {
    threshold: 1024,
    ...options,
    steps: [
      ...held(path, options.bridge),
      ...(options.steps ?? []),
      ...(options.signals ?? []).map(
        (n, i): Step => [options.verb ?? "signal", i === 0 ? `${path}.held` : "+", 20_000, n],
      ),
    ],
  });
  const announced = content(`${path}.held`);
  rmSync(`${path}.held`);
  assert.ok(announced, `the helper was not held: ${result.stderr}`);
  return { ...result, announced };
}

/** How a start must end. */
export type Ending = { readonly exit: number } | { readonly signal: number };

/** What is wrong with the end of a start that must not reach the server; empty if nothing is. */
export function mistakes(result: Result, ending: Ending): string {
  return [wrongEnd(result, ending), result.served !== undefined && "the server was started"].filter(Boolean).join("; ");
}

/** What is wrong with its end, whether or not the server started. */
export function wrongEnd(result: Result, ending: Ending): string {
  const { exit = -1, signal = 0 } = { exit: undefined, signal: undefined, ...ending };
  return [
    result.exit !== exit && `status ${result.exit}, not ${exit}`,
    result.signal !== signal && `ended by signal ${result.signal}, not ${signal}`,
    result.timedOut && "it went on",
    result.survivors.length > 0 && `survivors: ${result.survivors.join(", ").replaceAll("\0", " ")}`,
  ]
    .filter(Boolean)
    .join("; ");
}

/** Does `work` for all items, and fails with all that it finds wrong. */
export async function all<T>(items: readonly T[], work: (item: T) => Promise<string>): Promise<void> {
  const found: string[] = [];
  await each(items, async (item) => {
    const text = await work(item);
    if (text) found.push(`${JSON.stringify(item)}: ${text}`);
  });
  assert.is(found.sort().join("\n"), "");
}
