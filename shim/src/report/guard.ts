import { isSatisfied, KERNEL_DEFAULT, SETTING } from "../here/threshold.js";
import type { Firewall } from "../host/firewall.js";
import { DHCPV6, type Guarded, KEPT, type Service, TABLE } from "../plan/ruleset.js";
import { commandLine, enumerated, indented } from "../text.js";

const LIST = commandLine(["sudo", "nft", "list", "table", ...TABLE.split(" ")]);
const UNDO = "To undo it:\n    portshim guard --remove";

/** That --remove takes nothing else. */
export const REMOVE_ALONE = "--remove takes all the rules away, and takes no --apply, --ports or --start";

/** That no port is open but the wanted ones, from `first` up. */
export function nothingIsOpen(first: number): string {
  const why =
    first < KERNEL_DEFAULT
      ? `every port from ${first} to ${KERNEL_DEFAULT - 1} is wanted`
      : `with ${SETTING}=${first} no port below ${KERNEL_DEFAULT} can be bound without privileges`;
  return `Nothing to do: ${why}.`;
}

/** What the rules do on this host; lines. */
export function notes(
  { first, ports, closed }: Guarded,
  services: readonly Service[],
  threshold: number | undefined,
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

/** Whether the host has the rules already, and the command that loads them there; `loaded`: undefined if only root can see. */
export function howToLoad(loaded: boolean | undefined, options: string): string {
  const state =
    loaded === undefined
      ? `Only root can see whether the host has such rules already: ${LIST}`
      : `The host has ${loaded ? `table ${TABLE} already` : `no table ${TABLE}`}.`;
  return `${state}\nTo load them there:\n    portshim guard --apply${options}`;
}

/** What is about to be loaded; lines. */
export function aboutToLoad(rules: string): string {
  return `Loading these rules on the host:\n${indented(rules)}`;
}

/** The same for --dry-run. */
export function wouldLoad(rules: string): string {
  return `Would load these rules on the host:\n${indented(rules)}`;
}

/** What a person can do if they cannot be loaded; `isHere`: on this machine. */
export function loadByHand(options: string, isHere: boolean): string {
  const command = `portshim guard${options}`;
  return isHere
    ? `Run this:\n    ${command} | sudo nft -f -`
    : `Run this here, then on the host in the same folder:\n    ${command} >portshim.nft\n    sudo nft -f portshim.nft`;
}

/** That they are loaded; `isSeen`: we have looked. `lasting` are lines. */
export function loaded(isSeen: boolean, lasting: readonly string[]): string {
  const done = isSeen ? "Done." : `Done, as nft reports. Only root can see the rules: ${LIST}`;
  return [done, ...lasting, UNDO].join("\n");
}

const UNTIL = "The rules are in force until the host reboots";

/** How long they last, if another firewall is at work. */
export function endsWith({ name }: Firewall): string {
  return `${UNTIL}; then ${name} closes what it closes now.`;
}

/** How to keep them on NixOS, which makes the files in /etc from its configuration. */
export const KEEP_ON_NIXOS = `${UNTIL}. To keep them, add them to networking.nftables in the host's configuration.`;

/** How to keep them in a file; `startFile` is what nftables.service loads, undefined if it includes ours already. */
export function keepIn(startFile: string | undefined): string[] {
  const lines = [`${UNTIL}. To keep them, run this on the host:`, `    ${LIST} | sudo tee ${KEPT}`];
  if (startFile === undefined) return lines;
  // A pattern that no file fits is no error: without the file the host's other rules are loaded all the same.
  const include = `echo 'include "${KEPT.replace(".", "*.")}"' | sudo tee -a ${startFile}`;
  return [...lines, `    ${include} && sudo systemctl enable nftables`];
}

/** That there is nothing to remove. */
export const NOTHING_TO_REMOVE = `Nothing to do: the host has no table ${TABLE}.`;

/** What is about to be removed. */
export const ABOUT_TO_REMOVE = `Removing table ${TABLE} on the host`;

/** The same for --dry-run. */
export const WOULD_REMOVE = `Would remove table ${TABLE} on the host`;

/** What a person can do if it cannot be removed; `argv` are nft's arguments. */
export function removeByHand(argv: readonly string[]): string {
  return `Run this on the host:\n    ${commandLine(["sudo", "nft", ...argv])}`;
}

/** That it is removed; `isKept`: the file is there that loads it again. */
export function removed(isKept: boolean): string {
  const kept = `, until it reboots: ${KEPT} is still there. Run this on the host:\n    sudo rm ${KEPT}`;
  return `Done. The host has no table ${TABLE} now${isKept ? kept : "."}`;
}

/** That nft said yes to what did not happen. */
export function untrue(isThere: boolean): string {
  return `it reports success, but there is ${isThere ? "no" : "a"} table ${TABLE}`;
}

/** That the host's sockets cannot be listed. */
export function cannotList(answer: string): string {
  return `cannot list the sockets of the host: ${answer}`;
}
