import { writeFileSync } from "node:fs";
import { BRIDGE_NAMES } from "./bridge.js";
import { type Ending, run } from "./child.js";
import type { RouteName } from "./contract.js";
import type { Facts } from "./facts.js";
import { PortshimError } from "./failure.js";
import { bridgeFailed, NSENTER, PKEXEC, PODMAN, SUDO, SYSCTL } from "./host.js";
import { printable } from "./text.js";
import { FILE, liveThreshold, NAME } from "./threshold.js";

/** Whether a route can be taken, and why or why not: the middle of a sentence. */
export interface Verdict {
  readonly usable: boolean;
  readonly reason: string;
}

/** One way to let the server have its port. */
export interface Route {
  readonly name: RouteName;
  /** One line for --help. */
  readonly what: string;
  /** Tried only where --via names it. */
  readonly onlyNamed?: boolean;
  /** The port is free to bind though the threshold stays: there is nothing to say and nothing to verify. */
  readonly leavesThreshold?: boolean;
  /** May open a prompt, so only one portshim at a time takes it. */
  readonly asksSomebody?: boolean;
  verdict(facts: Facts): Verdict;
  /** What will run on the host as root; undefined: nothing will. */
  asRoot(facts: Facts, value: number): readonly string[] | undefined;
  /**
   * Tries to set the threshold to `value` (0–65535). Resolving says only that the system said yes.
   * Throws PortshimError. A prompt stays open for `timeout` milliseconds, or until `signal` aborts.
   */
  attempt(facts: Facts, value: number, timeout: number, signal?: AbortSignal): Promise<void>;
}

const yes = (reason: string): Verdict => ({ usable: true, reason });
const no = (reason: string): Verdict => ({ usable: false, reason });

const write: Route = {
  name: "write",
  what: "write the setting ourselves, where we may",
  verdict: ({ writable }) => (writable ? yes(`we may write ${FILE}`) : no(`we may not write ${FILE}`)),
  asRoot: () => undefined,
  async attempt(_facts, value) {
    try {
      writeFileSync(FILE, `${value}\n`);
    } catch (error) {
      throw new PortshimError("write-failed", printable((error as Error).message));
    }
  },
};

const capability: Route = {
  name: "capability",
  what: "the server may bind the port as it is (CAP_NET_BIND_SERVICE)",
  leavesThreshold: true,
  verdict: ({ mayBind }) =>
    mayBind ? yes("we may bind the port as we are") : no("we may not bind the port as we are"),
  asRoot: () => undefined,
  async attempt() {},
};

/**
 * Runs as root of the user namespace that owns this user's containers. $1 is a network namespace's inode, $2 the value.
 * The inode is compared once more inside, because a process id may meanwhile be another process's.
 */
const SET_IN_NAMESPACE = `
stat --dereference --format="%i %n" /proc/[0-9]*/ns/net 2>/dev/null | while read -r inode path; do
  [ "$inode" = "$1" ] || continue
  exec ${NSENTER} --net="$path" /bin/sh -c '
    [ "$(stat --dereference --format=%i /proc/self/ns/net)" = "$1" ] && echo "$2" >${FILE}' sh "$1" "$2"
done`;

const nsenter: Route = {
  name: "nsenter",
  what: "have the host set it in this container's own network, without a password",
  verdict(facts) {
    const reachable = reach(facts);
    if (!reachable.usable) return reachable;
    if (facts.network !== "own") return no("only for a container with its own network");
    return needs(facts, PODMAN, NSENTER) ?? yes("the user who started this container owns its network");
  },
  asRoot: () => undefined,
  async attempt(facts, value, timeout, signal) {
    const inode = checked(facts.networkNamespace ?? -1);
    const script = [PODMAN, "unshare", "/bin/sh", "-c", SET_IN_NAMESPACE, "sh", inode, checked(value)];
    const ending = await runOnHost(facts, script, timeout, signal);
    if (ending.status !== 0) throw new PortshimError("nsenter-failed", answerOf(ending));
  },
};

const pkexec: Route = {
  name: "pkexec",
  what: "have the host's root set it, through one password prompt",
  asksSomebody: true,
  verdict(facts) {
    const may = onHostsValue(facts, PKEXEC);
    if (!may.usable) return may;
    return yes(
      facts.bridge?.path ? `the host can be asked through ${facts.bridge.name}` : "polkit can ask for a password",
    );
  },
  asRoot: (facts, value) => [PKEXEC, ...sysctl(facts, value)],
  async attempt(facts, value, timeout, signal) {
    const ending = await runOnHost(facts, [PKEXEC, ...sysctl(facts, value)], timeout, signal);
    // pkexec(1), RETURN VALUE.
    if (ending.status === 126) throw new PortshimError("dismissed");
    if (ending.status === 127) throw new PortshimError("refused", refusal(answerOf(ending)));
    if (isLost(ending, facts, value)) {
      throw new PortshimError(
        "bridge-failed",
        `${facts.bridge?.name} ended without an answer: the session bus went away`,
      );
    }
    if (ending.status !== 0) throw new PortshimError("host-failed", answerOf(ending));
  },
};

const sudo: Route = {
  name: "sudo",
  what: "have the host's root set it, where sudo asks for no password",
  onlyNamed: true,
  verdict(facts) {
    const may = onHostsValue(facts, SUDO);
    return may.usable ? yes("sudo may let us without a password") : may;
  },
  asRoot: (facts, value) => [SUDO, "-n", ...sysctl(facts, value)],
  async attempt(facts, value, timeout, signal) {
    const ending = await runOnHost(facts, [SUDO, "-n", ...sysctl(facts, value)], timeout, signal);
    if (ending.status !== 0) throw new PortshimError("refused", answerOf(ending));
  },
};

/** All routes, least intrusive first. */
export const ROUTES: readonly Route[] = [write, capability, nsenter, pkexec, sudo];

/** Whether the host answers. */
function reach({ bridge, host }: Facts): Verdict {
  if (!bridge) return no(`there is no ${listed(BRIDGE_NAMES)} here, so the host cannot be asked`);
  if (!host) return no("there was no need to ask the host");
  return "problem" in host ? no(host.problem) : yes("the host answers");
}

/** Whether the host's own value is ours, and `program` there to set it. */
function onHostsValue(facts: Facts, program: string): Verdict {
  const reachable = reach(facts);
  if (!reachable.usable) return reachable;
  if (facts.network === "own") return no(`${facts.place.what} with its own network: the host's value is not ours`);
  if (facts.network === "unknown") return no("it is not known whether the network here is the host's");
  const lacks = needs(facts, program);
  if (lacks) return lacks;
  return sysctlPath(facts) ? yes("") : no(`the host has no sysctl program (looked for ${SYSCTL.join(", ")})`);
}

function needs({ host }: Facts, ...programs: string[]): Verdict | undefined {
  const there = host && "programs" in host ? host.programs : [];
  const absent = programs.filter((program) => !there.includes(program));
  return absent.length > 0 ? no(`the host has no ${absent.join(" and no ")}`) : undefined;
}

function sysctlPath({ host }: Facts): string | undefined {
  return SYSCTL.find((path) => host && "programs" in host && host.programs.includes(path));
}

function sysctl(facts: Facts, value: number): string[] {
  return [sysctlPath(facts) ?? SYSCTL[0], "-w", `${NAME}=${checked(value)}`];
}

/** An integer as an argument: nothing else goes between us and root. */
function checked(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new PortshimError("no-way", `${value} is no number to ask for`);
  return String(value);
}

async function runOnHost(
  facts: Facts,
  argv: readonly string[],
  timeout: number,
  signal?: AbortSignal,
): Promise<Ending> {
  const { bridge } = facts;
  if (!bridge) throw new PortshimError("no-way", "the host cannot be reached");
  const dieWithUs = bridge.path !== undefined;
  const ending = await run(bridge.command(argv), { timeout, signal, identity: bridge.identity, dieWithUs });
  if (ending.timedOut) throw new PortshimError("timed-out", String(timeout / 1000));
  if (bridgeFailed(ending)) throw new PortshimError("bridge-failed", answerOf(ending));
  return ending;
}

/**
 * sysctl(8) is never silent, neither when it sets a value nor when it cannot. flatpak-spawn is, with 0 or 1, when the bus
 * or the host's end of it dies.
 */
function isLost({ status, stdout, stderr }: Ending, { bridge }: Facts, value: number): boolean {
  return bridge?.path !== undefined && status <= 1 && stdout + stderr === "" && (liveThreshold() ?? 0) > value;
}

function answerOf({ stderr, status }: Ending): string {
  return printable(stderr) || `nothing, with status ${status}`;
}

function refusal(answer: string): string {
  if (/textual authentication agent/.test(answer)) {
    return `no password prompt could be opened, because no polkit agent runs in this session (${answer})`;
  }
  if (/Error getting authority/.test(answer)) return `polkit does not run there (${answer})`;
  return `not authorized by policy, or a wrong password (${answer})`;
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
