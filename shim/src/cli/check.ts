import { gather } from "../facts/facts.js";
import { KERNEL_DEFAULT, SETTING } from "../here/threshold.js";
import { dropTo } from "../launcher/drop.js";
import type { Lifetime } from "../plan/lifetime.js";
import { planFor } from "../plan/plan.js";
import { commandLine, printable } from "../text.js";
import { parse } from "./arguments.js";
import type { Command, Invocation } from "./command.js";
import { type Findings, find } from "./findings.js";
import { STATUS } from "./status.js";

/** `portshim check`: what portshim sees and would do. */
export const check: Command = {
  about: "Shows what portshim sees here and what it would do. Changes nothing.",
  statuses: "0: nothing to do; 1: something to do, and a way; 2: no way from here; 64: wrong options.",
  run,
};

async function run({ options, env, holdsCapability, signal, print }: Invocation): Promise<number> {
  // A start reads more variables than we do, and refuses those that are invalid.
  parse(["--dry-run"], env);
  // So does it refuse a user that there is not, or that we cannot become.
  if (options.user !== undefined) dropTo(options.user);
  const { start, startBy } = options;
  const facts = await gather({ start, startBy, env, holdsCapability, signal, thorough: true });
  const findings = await find(facts, planFor(facts, options.via), options.bind);
  if (options.json) print(`${JSON.stringify(findings, null, 2)}\n`);
  else print(describe(findings, paletteFor(process.stdout.isTTY === true, env)));
  return status(findings);
}

/** portshim cannot help with a port that another process uses. */
function status({ verdict, ports }: Findings): number {
  const mended = (error: string | null) => error === null || (error === "EACCES" && verdict === "possible");
  const lost = ports?.some(({ error, holders }) => !mended(error) || holders !== null) ?? false;
  if (verdict === "impossible" || lost) return STATUS.noWay;
  return verdict === "possible" ? STATUS.toDo : STATUS.ok;
}

/** How words stand out; each function returns its text, coloured or not. */
interface Palette {
  good(text: string): string;
  bad(text: string): string;
  quiet(text: string): string;
}

/** Colours only on a terminal, and not with NO_COLOR (no-color.org) or on a dumb one. */
export function paletteFor(isTerminal: boolean, env: NodeJS.ProcessEnv): Palette {
  const plain = !isTerminal || Boolean(env.NO_COLOR) || env.TERM === "dumb";
  const sgr = (code: number) => (text: string) => (plain ? text : `\x1b[${code}m${text}\x1b[0m`);
  return { good: sgr(32), bad: sgr(31), quiet: sgr(2) };
}

const NETWORKS: Record<Findings["network"], string> = {
  hosts: "the host's",
  own: "its own: the host's threshold does not apply",
  unknown: "unknown: perhaps the host's",
};

/** Completes "ports can be bound". */
const LASTING: Record<Exclude<Lifetime, "none" | "kept">, string> = {
  restart: "until the host reboots",
  container: "until this container stops",
  namespace: "as long as this network namespace exists, and not after a reboot of the host",
  server: "by the server that portshim starts here",
};

/** The report for a person. */
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
    row("wanted", `${wanted.value}, ${wanted.by ? `asked for by ${printable(wanted.by)}` : "the default"}`),
    ...requests
      .filter(({ file, line }) => `${file}:${line}` !== wanted.by)
      .map(({ file, line, text, value }) =>
        row(
          "",
          quiet(
            `${printable(file)}:${line} ${value === null ? `sets "${printable(text)}", which is invalid` : `sets ${value}`}`,
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
    lines.push("", `The host runs ${firewall.name}. If it keeps others out, run this on the host:`);
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
  if (threshold === null) return `this kernel has no ${SETTING}`;
  if (threshold === 0) return "0: any user can bind any port";
  const usual = threshold === KERNEL_DEFAULT ? ", the kernel's default" : "";
  return `${threshold}${usual}: any user can bind ports ${threshold} and up`;
}

function hostThresholdLine({ network, hostThreshold }: Findings): string {
  const publishing = "decides which ports can be published (-p) without root";
  if (network === "hosts") return `the same value, which also ${publishing}`;
  return `${hostThreshold ?? "unknown"}: ${publishing}; the one here decides which can be bound`;
}

function outcome({ verdict, next, remedy, lasts, keptBy, keep, wanted }: Findings): string[] {
  if (verdict === "impossible" || lasts === "none")
    return ["There is no way from here.", ...(remedy ?? "").split("\n")];
  const lasting = lasts === "kept" ? `also after a reboot (${keptBy})` : LASTING[lasts];
  const keeping = keep === null ? [] : ["To make it permanent:", `    ${keep}`];
  if (verdict === "nothing-to-do") {
    return [`Nothing to do: ports ${wanted.value} and up can be bound ${lasting}.`, ...keeping];
  }
  const { route = "", command = null } = next ?? {};
  return [
    `portshim -- COMMAND would ${command ? "run this as root on the host:" : `use the route ${route}.`}`,
    ...(command ? [`    ${commandLine(command)}`] : []),
    `Then ports ${wanted.value} and up can be bound ${lasting}.`,
    ...keeping,
  ];
}

function portLine({ error, holders }: NonNullable<Findings["ports"]>[number]): string {
  if (error === null) return "can be bound";
  const names = holders?.map(({ name, pid }) => `${name} (process ${pid})`);
  const use = names && `is in use by ${names.join(" and ") || "a process that cannot be seen from here"}`;
  // bind(2)
  if (error === "EADDRINUSE") return use ?? "is in use";
  const said = error === "EACCES" ? "cannot be bound: permission denied" : `cannot be bound: ${error}`;
  return use ? `${said}; and it ${use}` : said;
}
