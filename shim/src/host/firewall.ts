import { existsSync } from "node:fs";
import { join } from "node:path";
import { contentOf } from "../here/file.js";
import type { Network, Place } from "../here/place.js";
import { commandLine, printable } from "../text.js";
import { run } from "./child.js";
import { type Host, hostOf, type NoHost } from "./host.js";

/** A firewall on the host that can keep others from ports, whatever the threshold. */
export interface Firewall {
  readonly name: string;
  /** What it closes, whoever listens there: completes "which". */
  readonly closes: string;
  /** The command that opens the ports, for a person to paste on the host. */
  readonly remedy: string;
}

interface Kind extends Omit<Firewall, "remedy"> {
  /**
   * The command that opens `ports`, if this firewall is active on the host, whose files are below `root` and whose nft is
   * at the path `nft`, and the ports are closed as far as we can see.
   */
  remedy(
    root: string,
    ports: readonly number[],
    nft: string | undefined,
  ): string | undefined | Promise<string | undefined>;
}

const KINDS: readonly Kind[] = [
  {
    name: "firewalld",
    // Only root can read its zones, and asking it could open a password prompt. Its cgroup exists while it runs.
    closes: "closes what its zone does not open, in the usual zones nearly all ports below 1024, also after a reboot",
    remedy: (root, ports) =>
      existsSync(join(root, "sys/fs/cgroup/system.slice/firewalld.service"))
        ? `sudo firewall-cmd --permanent ${ports.map((port) => `--add-port=${port}/tcp`).join(" ")} && sudo firewall-cmd --reload`
        : undefined,
  },
  {
    name: "ufw",
    closes: "closes what none of its rules allows, unless its default was changed, also after a reboot",
    remedy: (root, ports) =>
      /^ENABLED=["']?yes\b/im.test(contentOf(join(root, "etc/ufw/ufw.conf")))
        ? `sudo ufw allow ${ports.join(",")}/tcp`
        : undefined,
  },
  {
    name: "nftables",
    closes: "has a chain that closes what none of its rules accepts",
    remedy: async (root, ports, nft) => {
      const all = root === "/" && nft !== undefined ? await listedRules(nft) : [];
      const chain = ports.map((port) => droppingChain(all, port)).find((one) => one !== undefined);
      if (!chain) return undefined;
      const { family, table, name } = chain;
      const set = ports.length === 1 ? `${ports[0]}` : `{ ${ports.join(", ")} }`;
      return `sudo ${commandLine(["nft", "insert", "rule", family, table, name, "tcp", "dport", set, "accept"])}`;
    },
  },
];

/** The facts that are needed. */
interface Where {
  readonly network: Network;
  readonly place: Place;
  readonly host: Host | NoHost | undefined;
}

/**
 * The host's firewall, if it could keep others from `ports` in our network namespace; undefined if we see none, or the
 * network is not the host's.
 */
export async function findFirewall(facts: Where, ports: readonly number[]): Promise<Firewall | undefined> {
  const { network, place } = facts;
  if (network !== "hosts" || place.hostRoot === undefined) return undefined;
  for (const kind of KINDS) {
    const remedy = await kind.remedy(place.hostRoot, ports, hostOf(facts)?.programs.nft);
    if (remedy !== undefined) return { name: kind.name, closes: kind.closes, remedy: printable(remedy) };
  }
  return undefined;
}

/** Milliseconds for nft to list its rules. */
const PATIENCE = 5000;

/** Most bytes of a ruleset; if it is cut, it is not valid JSON and ignored. */
const LONGEST = 64 * 1024 * 1024;

/** What nft(8) prints as JSON (libnftables-json(5)); empty if we are not permitted to list it. */
async function listedRules(nft: string): Promise<readonly unknown[]> {
  const { status, stdout } = await run([nft, "--json", "list", "ruleset"], { timeout: PATIENCE, most: LONGEST });
  try {
    const { nftables } = JSON.parse(status === 0 ? stdout : "{}") as { nftables?: unknown };
    return Array.isArray(nftables) ? nftables : [];
  } catch {
    return [];
  }
}

/** In nft(8)'s words. */
interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly expr?: unknown;
}

/**
 * A chain for incoming packets that drops what no rule accepts, if no rule accepts the port: neither in that chain, nor
 * in those without a hook, which it can jump to.
 */
export function droppingChain(ruleset: readonly unknown[], port: number): Chain | undefined {
  const all = (kind: string, ...names: string[]) =>
    ruleset
      .map((entry) => (entry as Record<string, unknown> | null)?.[kind] as Record<string, unknown> | null | undefined)
      .filter((one) => names.every((name) => typeof one?.[name] === "string")) as unknown[];
  const chains = all("chain", "family", "table", "name") as Chain[];
  const rules = all("rule", "family", "table", "chain") as Rule[];
  return chains
    .filter(({ hook, policy }) => hook === "input" && policy === "drop")
    .find(({ family, table, name }) => {
      const ofTable = (one: Chain | Rule) => one.family === family && one.table === table;
      const others = chains.filter((chain) => ofTable(chain) && chain.hook !== undefined && chain.name !== name);
      const isOthers = (rule: Rule) => others.some((chain) => chain.name === rule.chain);
      return !rules.some((rule) => ofTable(rule) && !isOthers(rule) && accepts(rule, port));
    });
}

function accepts({ expr }: Rule, port: number): boolean {
  if (!Array.isArray(expr)) return false;
  const accepting = expr.some((part) => typeof part === "object" && part !== null && "accept" in part);
  return accepting && expr.some((part) => matchesPort((part as { match?: Match } | null)?.match, port));
}

interface Match {
  readonly op?: string;
  readonly left?: { readonly payload?: { readonly protocol?: string; readonly field?: string } };
  readonly right?: unknown;
}

function matchesPort(match: Match | undefined, port: number): boolean {
  const payload = match?.left?.payload;
  if (match?.op !== "==" || payload?.field !== "dport" || payload.protocol === "udp") return false;
  const { set } = (match.right ?? {}) as { set?: unknown };
  return (Array.isArray(set) ? set : [match.right]).some((element) => covers(element, port));
}

function covers(element: unknown, port: number): boolean {
  const { range } = (element ?? {}) as { range?: unknown };
  if (!Array.isArray(range)) return element === port;
  const [low, high] = range;
  return low <= port && port <= high;
}
