import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Options } from "../attempt/options.js";
import type { Facts } from "../facts/facts.js";
import { PortshimError } from "../failure.js";
import { type Socket, waiting } from "../here/socket.js";
import { isSatisfied, KERNEL_DEFAULT, SETTING } from "../here/threshold.js";
import { HOST_ENVIRONMENT, isLocal } from "../host/bridge.js";
import { checked, type Elevation } from "../plan/elevation.js";
import { answerOf, lacks, pathOf, runOnHost } from "../plan/reach.js";
import * as report from "../report/start.js";
import { commandLine, enumerated } from "../text.js";
import type { Command, Invocation } from "./command.js";
import { wantedPorts } from "./findings.js";
import { type Firewall, findFirewall } from "./firewall.js";
import { type Errand, factsOf, haveRootDo, hindrance, isHostsRoot, type RootCommand } from "./root.js";
import { STATUS } from "./status.js";

/** `portshim guard`: of the ports that the lowered threshold opens, only the wanted ones can be reached from outside. */
export const guard: Command = {
  about: `Prints rules for nftables (nft -f -) that close the other low ports of the host to other machines: those that any user
can bind once the threshold is lowered, but for --ports and root's services. --apply loads them, with one password prompt.
Works on the host itself, in a toolbox and in a distrobox.`,
  statuses:
    "0: done, or nothing to do; 64: wrong options; 69: it failed; 77: permission denied; 128+N: stopped by signal N.",
  run,
};

/** Our own, so that it can be replaced and removed as a whole. */
const TABLE = "inet portshim";

/** What nft(8) is given to load the rules from its stdin. With -e it is not silent if that worked. */
export const APPLY = ["-e", "-f", "-"] as const;

/** To remove them, which is no error if there are none: as one command, so that polkit's prompt shows all of it. */
export const REMOVE = ["-e", `table ${TABLE};delete table ${TABLE}`] as const;

const LIST = `sudo nft list table ${TABLE}`;

/** What is closed, and what is not. */
export interface Guarded {
  /** The first port that the threshold opens, 1–1023. */
  readonly first: number;
  /** The ports that are wanted. */
  readonly ports: readonly number[];
  /** What is closed between first and 1023: first and last port of each range. */
  readonly closed: readonly (readonly [number, number])[];
}

/** A socket that can be reached from outside, on a port that would be closed. */
export interface Service extends Pick<Socket, "port" | "uid"> {
  readonly protocol: "tcp" | "udp";
}

async function run(invocation: Invocation): Promise<number> {
  const { options, log, print } = invocation;
  if (options.remove && (options.apply || options.ports || options.startBy === "--start")) {
    throw new PortshimError("bad-usage", "--remove takes all the rules away, and takes no --apply, --ports or --start");
  }
  const facts = await factsOf(invocation);
  log("detail", report.summary(facts));
  const reason = hindrance(facts, "guard");
  if (reason !== undefined) throw new PortshimError("no-guard", reason);
  if (options.remove) return remove(facts, invocation);

  const guarded = guardedBy(facts, options.ports);
  if (guarded === undefined) {
    log("info", `Nothing to do: ${nothingIsOpen(facts)}.`);
    return STATUS.ok;
  }
  const services = inRange(await listeners(facts, invocation.signal), guarded);
  const firewall = await findFirewall(facts, guarded.ports);
  const rules = ruleset(guarded, services);
  if (!options.apply) print(rules);
  log("info", notes(guarded, services, facts, firewall));
  if (options.apply) return apply(rules, firewall, facts, invocation);
  log("info", `${await state(facts)}\nTo load them there:\n    portshim guard --apply${given(options)}`);
  return STATUS.ok;
}

/** Undefined: the threshold opens no port but the wanted ones. Throws PortshimError if the kernel has none. */
export function guardedBy(
  { threshold, wanted }: Facts,
  ports: readonly number[] = wantedPorts(wanted.value),
): Guarded | undefined {
  if (threshold === undefined) throw new PortshimError("no-guard", `this kernel has no ${SETTING}`);
  const first = Math.max(1, Math.min(threshold, wanted.value));
  const sorted = [...new Set(ports)].sort((a, b) => a - b);
  const closed: [number, number][] = [];
  let low = first;
  for (const port of [...sorted.filter((one) => one >= first), KERNEL_DEFAULT]) {
    if (low < port) closed.push([low, port - 1]);
    low = port + 1;
  }
  return closed.length > 0 ? { first, ports: sorted, closed } : undefined;
}

function nothingIsOpen({ threshold, wanted }: Facts): string {
  const first = Math.min(threshold ?? KERNEL_DEFAULT, wanted.value);
  return first < KERNEL_DEFAULT
    ? `every port from ${first} to ${KERNEL_DEFAULT - 1} is wanted`
    : `with ${SETTING}=${first} no port below ${KERNEL_DEFAULT} can be bound without privileges`;
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
  throw new PortshimError("no-guard", `cannot list the sockets of the host: ${answerOf(result)}`);
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

/**
 * Where a DHCPv6 client listens (RFC 8415, 7.2). It asks all servers at once, by multicast, and so their answers are no
 * answers for the kernel.
 */
const DHCPV6 = 546;

/** As nft(8) reads it from its stdin. No dollar: systemd-run, which may hand it on, would take that for a variable. */
export function ruleset({ first, ports, closed }: Guarded, services: readonly Service[]): string {
  const ranges = closed.map(([low, high]) => (low === high ? checked(low) : `${checked(low)}-${checked(high)}`));
  const open = ports.length > 0 ? `, but for ${enumerated(ports.map(checked))}` : "";
  const accepts = (["tcp", "udp"] as const).flatMap((protocol) => {
    const ofRoot = services.filter((one) => one.protocol === protocol && one.uid === 0);
    const list = ofRoot.map(({ port }) => checked(port)).join(", ");
    return list === "" ? [] : [`\t\t${protocol} dport { ${list} } accept\n`];
  });
  return `# Written by portshim guard. With ${SETTING}=${checked(first)} any user can bind ports ${checked(first)} to 1023:
# these rules close them to other machines${open}. To undo it: portshim guard --remove

# What was loaded before goes, if there was anything.
table ${TABLE}
delete table ${TABLE}

table ${TABLE} {
	chain input {
		type filter hook input priority filter; policy accept;

		# Answers to this machine, and what it sends to itself.
		ct state established,related accept
		iif "lo" accept

		# Answers to its DHCPv6 client, which come from another address than the one that was asked.
		ip6 daddr fe80::/10 udp dport ${DHCPV6} accept
${accepts.length > 0 ? `\n\t\t# Services of root that were there when this was written.\n${accepts.join("")}` : ""}
		# All protocols whose ports the threshold opens.
		meta l4proto { tcp, udp, sctp, dccp, udplite } th dport { ${ranges.join(", ")} } reject
	}
}
`;
}

/** What the rules do on this host; lines. */
function notes(
  { first, ports, closed }: Guarded,
  services: readonly Service[],
  { threshold }: Facts,
  firewall: Firewall | undefined,
): string {
  const ranges = enumerated(closed.map(([low, high]) => (low === high ? low : `${low}-${high}`)));
  const opening = isSatisfied(threshold, first)
    ? "Any user can bind"
    : `Once ${SETTING} is ${first}, any user can bind`;
  const ofRoot = services.filter(({ uid }) => uid === 0);
  const others = services.filter(({ uid }) => uid !== 0);
  const lines = [
    `${opening} ports ${first} and up. These rules close ports ${ranges} to other machines. Still open:`,
    `    the wanted ports: ${enumerated(ports)}`,
    `    services of root: ${enumerated(ofRoot.map(({ protocol, port }) => `${protocol} ${port}`)) || "none now"}`,
    `    this machine to itself, answers to its own connections, and its DHCPv6 client (udp ${DHCPV6})`,
  ];
  if (others.length > 0) {
    const names = others.map(({ protocol, port, uid }) => `${protocol} ${port} (user ${uid})`);
    lines.push(`Closed, though in use: ${enumerated(names)}. To leave one open, name it with --ports.`);
  }
  if (firewall) {
    lines.push(`The host runs ${firewall.name}, which ${firewall.closes}.`);
    lines.push(`To open ${enumerated(ports)} there, run this on the host:\n    ${firewall.remedy}`);
  }
  return lines.join("\n");
}

/** Whether the host has our table, as far as we may see it. */
async function isLoaded(facts: Facts): Promise<boolean | undefined> {
  if (!isHostsRoot(facts) || lacks(facts, "nft")) return undefined;
  const argv = [pathOf("nft", facts), "list", "table", ...TABLE.split(" ")];
  return (await runOnHost(facts, argv, { timeout: PATIENCE })).status === 0;
}

async function state(facts: Facts): Promise<string> {
  const loaded = await isLoaded(facts);
  if (loaded === undefined) return `Only root can see whether the host has such rules already: ${LIST}`;
  return loaded ? `The host has table ${TABLE} already.` : `The host has no table ${TABLE}.`;
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
  const command = `portshim guard${given(invocation.options)}`;
  const shown = rules.trimEnd().replace(/^(?=.)/gm, "    ");
  const change: Change = {
    argv: () => [pathOf("nft", facts), ...APPLY],
    input: rules,
    isThere: true,
    about: `Loading these rules on the host:\n${shown}`,
    would: `Would load these rules on the host:\n${shown}`,
    remedy: isLocal(facts.bridge)
      ? `Run this:\n    ${command} | sudo nft -f -`
      : `Run this here, then on the host in the same folder:\n    ${command} >portshim.nft\n    sudo nft -f portshim.nft`,
  };
  if (!(await carryOut(change, facts, invocation))) return STATUS.ok;
  const isSeen = (await isLoaded(facts)) !== undefined;
  const done = isSeen ? "Done." : `Done, as nft reports. Only root can see the rules: ${LIST}`;
  invocation.log("info", [done, ...lasting(firewall, facts), "To undo it:\n    portshim guard --remove"].join("\n"));
  return STATUS.ok;
}

async function remove(facts: Facts, invocation: Invocation): Promise<number> {
  if ((await isLoaded(facts)) === false && !isKept(facts)) {
    invocation.log("info", `Nothing to do: the host has no table ${TABLE}.`);
    return STATUS.ok;
  }
  const change: Change = {
    argv: () => [pathOf("nft", facts), ...REMOVE],
    isThere: false,
    about: `Removing table ${TABLE} on the host`,
    would: `Would remove table ${TABLE} on the host`,
    remedy: `Run this on the host:\n    ${commandLine(["sudo", "nft", ...REMOVE])}`,
  };
  if (!(await carryOut(change, facts, invocation))) return STATUS.ok;
  const kept = `, until it reboots: ${KEPT} is still there. Run this on the host:\n    sudo rm ${KEPT}`;
  invocation.log("info", `Done. The host has no table ${TABLE} now${isKept(facts) ? kept : "."}`);
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
      throw new PortshimError(
        "guard-failed",
        `it reports success, but there is ${isThere ? "no" : "a"} table ${TABLE}`,
      );
    }
  };
  const absent = lacks(facts, "nft");
  return haveRootDo(
    { ...change, absent, noWay: (reason) => new PortshimError("no-guard", reason), failed: "guard-failed", by },
    facts,
    invocation,
  );
}

/** How long the rules last, and how they are kept. */
function lasting(firewall: Firewall | undefined, facts: Facts): string[] {
  const until = "The rules are in force until the host reboots";
  // nftables.service begins with a flush of all rules, also of those that another firewall has loaded.
  if (firewall && firewall.name !== "nftables") return [`${until}; then ${firewall.name} closes what it closes now.`];
  // NixOS makes the files in /etc from its configuration.
  if (pathOf("nft", facts).startsWith("/run/current-system/"))
    return [`${until}. To keep them, add them to networking.nftables in the host's configuration.`];
  const lines = [`${until}. To keep them, run this on the host:`, `    ${LIST} | sudo tee ${KEPT}`];
  if (isKept(facts)) return lines;
  // A pattern that no file fits is no error: without the file the host's other rules are loaded all the same.
  const include = `echo 'include "${KEPT.replace(".", "*.")}"' | sudo tee -a ${startFile(facts)}`;
  return [...lines, `    ${include} && sudo systemctl enable nftables`];
}

/** The file in which a person keeps the rules: in one of its own they are replaced, and not added to. */
const KEPT = "/etc/portshim.nft";

function isKept({ place }: Facts): boolean {
  return existsSync(join(place.hostRoot ?? "/", KEPT));
}

/** What nftables.service loads when the host starts: as Fedora has it, else as Debian and Arch. */
function startFile({ place }: Facts): string {
  const ofFedora = "/etc/sysconfig/nftables.conf";
  return existsSync(join(place.hostRoot ?? "/", ofFedora)) ? ofFedora : "/etc/nftables.conf";
}
