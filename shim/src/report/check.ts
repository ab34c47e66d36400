import type { Holder } from "../here/holder.js";
import type { Network } from "../here/place.js";
import { KERNEL_DEFAULT } from "../here/threshold.js";
import type { Lifetime } from "../plan/lifetime.js";
import { commandLine, printable } from "../text.js";
import { REASON } from "./reason.js";
import { hostName, LASTING } from "./start.js";

/** What `portshim check` found, as --json prints it: docs/check.md and docs/check.schema.json. */
export interface Findings {
  readonly schema: number;
  readonly portshim: string;
  /** Nothing to do; something to do, and a way; or no way from here. */
  readonly verdict: "nothing-to-do" | "possible" | "impossible";
  /** The threshold in force, 0–65535; null if this kernel has no such setting. */
  readonly threshold: number | null;
  /** The host's, which decides what can be published without root, as ours decides what can be bound; null: unknown. */
  readonly hostThreshold: number | null;
  readonly wanted: {
    readonly value: number;
    readonly by: string | null;
    readonly fromFile: boolean;
  };
  readonly place: { readonly name: string; readonly evidence: string };
  readonly network: Network;
  /** The way to the host; null if there is none. Its path is null if commands run without a bridge. */
  readonly bridge: { readonly name: string; readonly path: string | null } | null;
  /** Why the host does not answer; null if it does, or was not asked. */
  readonly hostProblem: string | null;
  /** The assignments that decide, and those that are invalid (value null). */
  readonly requests: readonly Declaration[];
  readonly routes: readonly { readonly name: string; readonly usable: boolean; readonly reason: string }[];
  /** The route that would be taken, and what would run as root on the host; null: none, nothing. */
  readonly next: { readonly route: string; readonly command: readonly string[] | null } | null;
  /** What a person can do if there is no way from here, in lines; null if there is one. */
  readonly remedy: string | null;
  readonly lasts: Lifetime;
  /** What makes it permanent, if `lasts` is `kept`: a file and line, or "the kernel's default". */
  readonly keptBy: string | null;
  /** How to make it last longer, a line for a person to paste; null if it is permanent, or cannot be. */
  readonly keep: string | null;
  /** With --bind. */
  readonly ports: readonly Port[] | null;
  readonly firewall: { readonly name: string; readonly remedy: string } | null;
}

/** An assignment in a sysctl.d file. */
export interface Declaration {
  readonly where: "here" | "host";
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly value: number | null;
}

/** A wanted port, after an attempt to bind it. */
export interface Port {
  readonly port: number;
  /** The error of bind(2), by its name in errno(3); null: none. */
  readonly error: string | null;
  /** Who listens on it, as far as we can see; null: nobody. */
  readonly holders: readonly Holder[] | null;
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
  if (bridge.path === null) return hostName(true);
  return problem === null ? `asked through ${bridge.path}` : printable(problem);
}

function thresholdLine(threshold: number | null): string {
  if (threshold === null) return REASON.noSetting;
  if (threshold === 0) return "0: any user can bind any port";
  const usual = threshold === KERNEL_DEFAULT ? ", the kernel's default" : "";
  return `${threshold}${usual}: any user can bind ports ${threshold} and up`;
}

function hostThresholdLine({ network, hostThreshold }: Findings): string {
  const publishing = "decides which ports can be published (-p) without root";
  if (network === "hosts") return `the same value, which also ${publishing}`;
  return `${hostThreshold ?? "unknown"}: ${publishing}; the one here decides which can be bound`;
}

function outcome({ verdict, next, remedy, lasts, keptBy, keep, wanted, bridge }: Findings): string[] {
  if (verdict === "impossible" || lasts === "none")
    return ["There is no way from here.", ...(remedy ?? "").split("\n")];
  const lasting = LASTING[lasts](hostName(bridge?.path === null), keptBy);
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
