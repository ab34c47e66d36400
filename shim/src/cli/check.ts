import { dropFor, preview } from "../attempt/ensure.js";
import { KERNEL_DEFAULT, NAME } from "../here/threshold.js";
import type { Lifetime } from "../plan/lifetime.js";
import { commandLine, printable } from "../text.js";
import { parse } from "./arguments.js";
import type { Call, Command } from "./command.js";
import { type Findings, find } from "./findings.js";
import { STATUS } from "./status.js";

/** `portshim check`: what portshim sees and would do. */
export const check: Command = {
  about: "Says what portshim sees here and what it would do, and changes nothing.",
  statuses:
    "0: nothing has to be done; 1: something, and there is a way; 2: there is none from here; 64: wrong options.",
  run,
};

async function run({ options, env, canBind, log, signal, print }: Call): Promise<number> {
  // A start reads more variables than we do, and refuses those that are invalid.
  parse(["--dry-run"], env);
  const drop = dropFor(options);
  const { facts, plan } = await preview({ options, drop, env, canBind, log, signal, thorough: true });
  const findings = await find(facts, plan, options.bind);
  if (options.json) print(`${JSON.stringify(findings, null, 2)}\n`);
  else print(describe(findings, paletteFor(process.stdout.isTTY === true, env)));
  return status(findings);
}

/** A port that somebody else has is one that portshim cannot give. */
function status({ verdict, ports }: Findings): number {
  const mended = (error: string | null) => error === null || (error === "EACCES" && verdict === "possible");
  const lost = ports?.some(({ error, holders }) => !mended(error) || holders !== null) ?? false;
  if (verdict === "impossible" || lost) return STATUS.noWay;
  return verdict === "possible" ? STATUS.toDo : STATUS.ok;
}

/** How words are made to stand out; each function takes a text and returns it, marked or not. */
export interface Palette {
  good(text: string): string;
  bad(text: string): string;
  quiet(text: string): string;
}

/** Colours on a terminal only, and not where NO_COLOR (no-color.org) or a dumb terminal forbids them. */
export function paletteFor(isTerminal: boolean, env: NodeJS.ProcessEnv): Palette {
  const plain = !isTerminal || Boolean(env.NO_COLOR) || env.TERM === "dumb";
  const sgr = (code: number) => (text: string) => (plain ? text : `\x1b[${code}m${text}\x1b[0m`);
  return { good: sgr(32), bad: sgr(31), quiet: sgr(2) };
}

const NETWORKS: Record<Findings["network"], string> = {
  hosts: "the host's",
  own: "its own; the host's threshold does not count here",
  unknown: "not known whether it is the host's",
};

/** Completes "ports may be bound". */
const LASTING: Record<Exclude<Lifetime, "none" | "kept">, string> = {
  restart: "until the host restarts",
  container: "until this container stops",
  namespace: "as long as this network namespace is there, or until the host restarts",
  server: "by the server that portshim starts here",
};

/** The report that a person reads. */
export function describe(findings: Findings, { good, bad, quiet }: Palette): string {
  const { threshold, wanted, place, network, bridge, hostProblem, requests, routes, ports, firewall } = findings;
  const width = Math.max(...routes.map(({ name }) => name.length)) + 4;
  const row = (name: string, text: string) => `  ${name.padEnd(width)}${text}`;
  const mark = (isGood: boolean) => (isGood ? good("✓") : bad("✗"));
  const lines = [
    row("place", `${place.name} ${quiet(`(${printable(place.evidence)})`)}`),
    row("network", NETWORKS[network]),
    row("host", hostLine(bridge, hostProblem)),
    row("threshold", thresholdLine(threshold)),
    ...(bridge?.path === null || threshold === null ? [] : [row("on the host", hostThresholdLine(findings))]),
    row(
      "wanted",
      `${wanted.value}, ${wanted.by ? `asked for by ${printable(wanted.by)}` : "because nothing asks for another"}`,
    ),
    ...requests
      .filter(({ file, line }) => `${file}:${line}` !== wanted.by)
      .map(({ file, line, text, value }) =>
        row(
          "",
          quiet(
            `${printable(file)}:${line} ${value === null ? `asks for "${printable(text)}", which the kernel would refuse` : `asks for ${value}`}`,
          ),
        ),
      ),
    "",
    ...routes.map(({ name, usable, reason }) => `  ${mark(usable)} ${name.padEnd(width - 2)}${reason}`),
    "",
    ...outcome(findings),
  ];
  if (ports) {
    lines.push(
      "",
      ...ports.map((port) => `  ${mark(port.error === null)} ${String(port.port).padEnd(width - 2)}${portLine(port)}`),
    );
  }
  if (firewall) {
    lines.push(
      "",
      `The host runs ${firewall.name}, which may keep others out whatever the threshold. If so, on the host:`,
    );
    lines.push(`    ${firewall.remedy}`);
  }
  return `${lines.join("\n")}\n`;
}

function hostLine(bridge: Findings["bridge"], problem: string | null): string {
  if (!bridge) return "cannot be asked from here";
  if (bridge.path === null) return "this machine";
  return problem === null ? `asked through ${bridge.path}` : printable(problem);
}

function thresholdLine(threshold: number | null): string {
  if (threshold === null) return `this kernel has no ${NAME}`;
  if (threshold === 0) return "0: ordinary users may bind every port";
  const usual = threshold === KERNEL_DEFAULT ? ", the kernel's default" : "";
  return `${threshold}${usual}: ordinary users may bind ports from ${threshold} up`;
}

function hostThresholdLine({ network, hostThreshold }: Findings): string {
  const publishing = "counts for publishing ports (-p) without root";
  if (network === "hosts") return `the same value, which also ${publishing}`;
  return `${hostThreshold ?? "not known"}: ${publishing}, while the one here counts for binding them`;
}

function outcome({ verdict, next, remedy, lasts, keptBy, keep, wanted }: Findings): string[] {
  if (verdict === "impossible" || lasts === "none")
    return ["No route can be taken from here.", ...(remedy ?? "").split("\n")];
  const lasting = lasts === "kept" ? `also after a restart (${keptBy})` : LASTING[lasts];
  const keeping = keep === null ? [] : ["To keep it:", `    ${keep}`];
  if (verdict === "nothing-to-do") {
    return [`Nothing has to be done: ports from ${wanted.value} up may be bound ${lasting}.`, ...keeping];
  }
  const { route = "", command = null } = next ?? {};
  return [
    `portshim -- COMMAND would ${command ? "run this as root on the host:" : `take the route ${route}.`}`,
    ...(command ? [`    ${commandLine(command)}`] : []),
    `Then ports from ${wanted.value} up may be bound ${lasting}.`,
    ...keeping,
  ];
}

function portLine({ error, holders }: NonNullable<Findings["ports"]>[number]): string {
  if (error === null) return "may be bound";
  const names = holders?.map(({ name, pid }) => `${name} (process ${pid})`);
  const use = names && `is in use by ${names.join(" and ") || "a process that cannot be seen from here"}`;
  // bind(2)
  if (error === "EADDRINUSE") return use ?? "is in use";
  const said = error === "EACCES" ? "may not be bound: permission denied" : `cannot be bound: ${error}`;
  return use ? `${said}; and it ${use}` : said;
}
