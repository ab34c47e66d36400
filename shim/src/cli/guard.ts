import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Options } from "../attempt/options.js";
import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { waiting } from "../here/socket.js";
import { KERNEL_DEFAULT } from "../here/threshold.js";
import { HOST_ENVIRONMENT, isLocal } from "../host/bridge.js";
import { type Firewall, findFirewall } from "../host/firewall.js";
import type { Elevation } from "../plan/elevation.js";
import { answerOf, lacks, pathOf, runOnHost } from "../plan/reach.js";
import { APPLY, DHCPV6, type Guarded, KEPT, REMOVE, ruleset, type Service, TABLE } from "../plan/ruleset.js";
import { REASON } from "../report/reason.js";

import report = require("../report/guard.js");

import { summary } from "../report/start.js";
import type { Command, Invocation } from "./command.js";
import { wantedPorts } from "./findings.js";
import { type Errand, factsOf, haveRootDo, hindrance, isHostsRoot, type RootCommand } from "./root.js";
import { STATUS } from "./status.js";

/** `portshim guard`: of the ports that the lowered threshold opens, only the wanted ones can be reached from outside. */
export const guard: Command = {
  about: `Prints rules for nftables (nft -f -) that close the other low ports of the host to other machines: those that any user
can bind once the threshold is lowered, but for --ports and root's services. --apply loads them, with one password prompt.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses: {
    [STATUS.ok]: "printed, done, or nothing to do",
    [STATUS.usage]: "wrong options",
    [STATUS.unavailable]: "no way from here, or the host failed",
    [STATUS.noPermission]: "permission denied: refused, dismissed, or not answered in time",
  },
  run,
};

async function run(invocation: Invocation): Promise<number> {
  const { options, log, print } = invocation;
  if (options.remove && (options.apply || options.ports || options.startBy === "--start")) {
    throw new PortshimError("bad-usage", report.REMOVE_ALONE);
  }
  const facts = await factsOf(invocation);
  log("detail", summary(facts));
  const reason = hindrance(facts, "guard");
  if (reason !== undefined) throw new PortshimError("no-guard", reason);
  if (options.remove) return remove(facts, invocation);

  const guarded = guardedBy(facts, options.ports);
  if (guarded === undefined) {
    log("info", report.nothingIsOpen(Math.min(facts.threshold ?? KERNEL_DEFAULT, facts.wanted.value)));
    return STATUS.ok;
  }
  const services = inRange(await listeners(facts, invocation.signal), guarded);
  const firewall = await findFirewall(facts, guarded.ports);
  const rules = ruleset(guarded, services);
  if (!options.apply) print(rules);
  log("info", report.notes(guarded, services, facts.threshold, firewall));
  if (options.apply) return apply(rules, firewall, facts, invocation);
  log("info", report.howToLoad(await isLoaded(facts), given(options)));
  return STATUS.ok;
}

/** Undefined: the threshold opens no port but the wanted ones. Throws PortshimError if the kernel has none. */
export function guardedBy(
  { threshold, wanted }: Facts,
  ports: readonly number[] = wantedPorts(wanted.value),
): Guarded | undefined {
  if (threshold === undefined) throw new PortshimError("no-guard", REASON.noSetting);
  const first = Math.max(1, Math.min(threshold, wanted.value));
  const sorted = [...new Set(ports)].sort((a, b) => a - b);
  const closed: [number, number][] = [];
  let low = first;
  for (const port of [...sorted.filter((one) => one >= first && one < KERNEL_DEFAULT), KERNEL_DEFAULT]) {
    if (low < port) closed.push([low, port - 1]);
    low = port + 1;
  }
  return closed.length > 0 ? { first, ports: sorted, closed } : undefined;
}

/** The tables of /proc/net, from the host: in a container root's number is another's. Without IPv6 there are two. */
const SOCKETS = `${HOST_ENVIRONMENT}
for table in tcp tcp6 udp udp6; do
	echo table $table
	[ ! -e /proc/net/$table ] || cat /proc/net/$table || exit
done
echo table end`;

/** Milliseconds for the host to list its sockets. */
const PATIENCE = 10_000;

/** Most bytes of that; an answer that is cut has no end. */
const LONGEST = 64 * 1024 * 1024;

/** Throws PortshimError. */
async function listeners(facts: Facts, signal: AbortSignal): Promise<readonly Service[]> {
  const options = { timeout: PATIENCE, most: LONGEST, signal };
  const result = await runOnHost(facts, ["/bin/sh", "-c", SOCKETS], options);
  const found = servicesIn(result.stdout);
  if (found) return found;
  throw new PortshimError("no-guard", report.cannotList(answerOf(result)));
}

/** Who can be reached from outside; undefined: the text is not whole. */
export function servicesIn(text: string): Service[] | undefined {
  const [, ...tables] = text.split(/^table /m);
  if (tables.pop() !== "end\n" || tables.length !== 4) return undefined;
  return tables.flatMap((table) => {
    const protocol = table.startsWith("tcp") ? "tcp" : "udp";
    const reachable = waiting(table, protocol).filter(({ isLoopback }) => !isLoopback);
    return reachable.map(({ port, uid }) => ({ protocol, port, uid }));
  });
}

/** Those whose ports would be closed, each once, by port. */
function inRange(services: readonly Service[], { closed }: Guarded): Service[] {
  const all = new Map(services.map((one) => [Object.values(one).join(), one]));
  const isDhcp = ({ protocol, port }: Service) => protocol === "udp" && port === DHCPV6;
  return [...all.values()]
    .filter((one) => !isDhcp(one) && closed.some(([low, high]) => low <= one.port && one.port <= high))
    .sort((a, b) => a.port - b.port);
}

/** Whether the host has our table, as far as we may see it. */
async function isLoaded(facts: Facts): Promise<boolean | undefined> {
  if (!isHostsRoot(facts) || lacks(facts, "nft")) return undefined;
  const argv = [pathOf("nft", facts), "list", "table", ...TABLE.split(" ")];
  return (await runOnHost(facts, argv, { timeout: PATIENCE })).status === 0;
}

/** The options by which the same rules are made again. */
function given({ ports, start, startBy }: Options): string {
  const first = startBy === "--start" ? ` --start=${start}` : "";
  return ports ? `${first} --ports=${ports.join(",")}` : first;
}

async function apply(
  rules: string,
  firewall: Firewall | undefined,
  facts: Facts,
  invocation: Invocation,
): Promise<number> {
  const change: Change = {
    argv: () => [pathOf("nft", facts), ...APPLY],
    input: rules,
    isThere: true,
    about: report.aboutToLoad(rules),
    would: report.wouldLoad(rules),
    remedy: report.loadByHand(given(invocation.options), isLocal(facts.bridge)),
  };
  if (!(await carryOut(change, facts, invocation))) return STATUS.ok;
  const isSeen = (await isLoaded(facts)) !== undefined;
  invocation.log("info", report.loaded(isSeen, lasting(firewall, facts)));
  return STATUS.ok;
}

async function remove(facts: Facts, invocation: Invocation): Promise<number> {
  if ((await isLoaded(facts)) === false && !isKept(facts)) {
    invocation.log("info", report.NOTHING_TO_REMOVE);
    return STATUS.ok;
  }
  const change: Change = {
    argv: () => [pathOf("nft", facts), ...REMOVE],
    isThere: false,
    about: report.ABOUT_TO_REMOVE,
    would: report.WOULD_REMOVE,
    remedy: report.removeByHand(REMOVE),
  };
  if (await carryOut(change, facts, invocation)) invocation.log("info", report.removed(isKept(facts)));
  return STATUS.ok;
}

/** What nft(8) is to change. */
interface Change extends RootCommand, Pick<Errand, "about" | "would" | "remedy"> {
  /** The host then has our table. */
  readonly isThere: boolean;
}

/** Resolves to whether it was done. Throws PortshimError. */
async function carryOut(change: Change, facts: Facts, invocation: Invocation): Promise<boolean> {
  const { argv, input, isThere } = change;
  const { signal } = invocation;
  const timeout = invocation.options.timeout * 1000;
  const by = async (way: Elevation) => {
    const result = await way.run(facts, { argv: argv(), input, timeout, signal, isDone: () => false });
    if (result.status !== 0) throw new PortshimError("guard-failed", answerOf(result));
    if ((await isLoaded(facts)) === !isThere) {
      throw new PortshimError("guard-failed", report.untrue(isThere));
    }
  };
  const absent = lacks(facts, "nft");
  return haveRootDo(
    { ...change, absent, noWay: (reason) => new PortshimError("no-guard", reason), failed: "guard-failed", by },
    facts,
    invocation,
  );
}

/** How long the rules last, and how they are kept; lines. */
function lasting(firewall: Firewall | undefined, facts: Facts): string[] {
  // nftables.service begins with a flush of all rules, also of those that another firewall has loaded.
  if (firewall && firewall.name !== "nftables") return [report.endsWith(firewall)];
  if (pathOf("nft", facts).startsWith("/run/current-system/")) return [report.KEEP_ON_NIXOS];
  return report.keepIn(isKept(facts) ? undefined : startFile(facts));
}

function isKept({ place }: Facts): boolean {
  return existsSync(join(place.hostRoot ?? "/", KEPT));
}

/** What nftables.service loads when the host starts: as Fedora has it, else as Debian and Arch. */
function startFile({ place }: Facts): string {
  const ofFedora = "/etc/sysconfig/nftables.conf";
  return existsSync(join(place.hostRoot ?? "/", ofFedora)) ? ofFedora : "/etc/nftables.conf";
}
