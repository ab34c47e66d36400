import { writeFileSync } from "node:fs";
import type { RouteName } from "../contract.js";
import { PortshimError } from "../error.js";
import type { Facts } from "../facts/facts.js";
import { isSatisfied, liveThreshold, SETTING, SETTING_FILE } from "../here/threshold.js";
import { REASON } from "../report/reason.js";
import { printable } from "../text.js";
import { checked, type Elevation, pkexec, run0, sudo } from "./elevation.js";
import { answerOf, lacks, no, pathOf, reach, runOnHost, type Verdict, yes } from "./reach.js";

/** One way to make sure that the server can bind its port. */
export interface Route {
  readonly name: RouteName;
  /** One line for --help. */
  readonly what: string;
  /** Tried only if --via names it. */
  readonly onlyNamed?: boolean;
  /** The port can be bound although the threshold stays: there is nothing to report and nothing to verify. */
  readonly leavesThreshold?: boolean;
  /** It can open a prompt, so only one portshim at a time takes it. */
  readonly asksSomebody?: boolean;
  /** Whether it can work here; `isNamed`: --via names it. */
  verdict(facts: Facts, isNamed: boolean): Verdict;
  /** What runs as root on the host; undefined: nothing does. */
  asRoot(facts: Facts, value: number): readonly string[] | undefined;
  /**
   * Tries to set the threshold to `value` (0–65535); whether it worked has to be verified. A prompt stays open for
   * `timeout` milliseconds, or until `signal` aborts.
   *
   * Throws PortshimError.
   */
  attempt(facts: Facts, value: number, timeout: number, signal?: AbortSignal): Promise<void>;
}

const write: Route = {
  name: "write",
  what: "write the setting directly",
  verdict: ({ writable }) => (writable ? yes(REASON.canWrite) : no(REASON.cannotWrite)),
  asRoot: () => undefined,
  async attempt(_facts, value) {
    try {
      writeFileSync(SETTING_FILE, `${value}\n`);
    } catch (error) {
      throw new PortshimError("write-failed", printable((error as Error).message));
    }
  },
};

const capability: Route = {
  name: "capability",
  what: "nothing: the server can bind the port as it is (CAP_NET_BIND_SERVICE)",
  leavesThreshold: true,
  verdict: ({ mayBind }) => (mayBind ? yes(REASON.canBind) : no(REASON.cannotBind)),
  asRoot: () => undefined,
  async attempt() {},
};

/**
 * Runs as root of the user namespace that owns this user's containers. $1 is a network namespace's inode, $2 the value,
 * $3 nsenter's path. The inode is compared again inside, because the process id could have been reused.
 */
const SET_IN_NAMESPACE = `
stat --dereference --format="%i %n" /proc/[0-9]*/ns/net 2>/dev/null | {
  while read -r inode path; do
    [ "$inode" = "$1" ] || continue
    exec "$3" --net="$path" /bin/sh -c '
      [ "$(stat --dereference --format=%i /proc/self/ns/net)" = "$1" ] && echo "$2" >${SETTING_FILE}' sh "$1" "$2"
  done
  echo "it belongs to none of this user's podman containers" >&2
  exit 1
}`;

const nsenter: Route = {
  name: "nsenter",
  what: "have the host set it in this container's own network, without a password",
  verdict(facts) {
    const reachable = reach(facts);
    if (!reachable.usable) return reachable;
    if (facts.network !== "own") return no(REASON.onlyOwnNetwork);
    if (!facts.place.byUsersPodman) return no(REASON.onlyUsersPodman);
    return lacks(facts, "podman", "nsenter") ?? yes(REASON.ownsNetwork);
  },
  asRoot: () => undefined,
  async attempt(facts, value, timeout, signal) {
    const inode = checked(facts.networkNamespace ?? -1);
    const script = ["/bin/sh", "-c", SET_IN_NAMESPACE, "sh", inode, checked(value), pathOf("nsenter", facts)];
    const result = await runOnHost(facts, [pathOf("podman", facts), "unshare", ...script], { timeout, signal });
    if (result.status !== 0) throw new PortshimError("nsenter-failed", answerOf(result));
  },
};

/** The host's root runs sysctl(8). */
function bySysctl(elevation: Elevation, what: string): Route {
  const { name, asksSomebody = false, onlyNamed = false } = elevation;
  return {
    name,
    what,
    asksSomebody,
    onlyNamed,
    verdict(facts, isNamed) {
      // If no route is usable, the last one's reason is reported: let it be the one that holds for all of them.
      const absent = facts.network === "hosts" && reach(facts).usable ? lacks(facts, "sysctl") : undefined;
      return absent ?? elevation.verdict(facts, isNamed);
    },
    asRoot: (facts, value) => elevation.command(facts, sysctl(facts, value)),
    async attempt(facts, value, timeout, signal) {
      const isDone = () => isSatisfied(liveThreshold(), value);
      const result = await elevation.run(facts, { argv: sysctl(facts, value), timeout, signal, isDone });
      if (result.status !== 0) throw new PortshimError("host-failed", answerOf(result));
    },
  };
}

/** All routes, least intrusive first: what --via can name, and the order in which a start tries them. */
export const ROUTES: readonly Route[] = [
  write,
  capability,
  nsenter,
  bySysctl(pkexec, "have the host's root set it, after one password prompt"),
  bySysctl(run0, "the same, if the host has no pkexec"),
  bySysctl(sudo, "have the host's root set it, if sudo needs no password"),
];

/** The sysctl(8) command that root is asked to run; it always prints something. */
export function sysctl(facts: Facts, value: number): string[] {
  return [pathOf("sysctl", facts), "-w", `${SETTING}=${checked(value)}`];
}
