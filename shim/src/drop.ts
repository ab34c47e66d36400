import { type Capability, effectiveCapabilities } from "./capabilities.js";
import { PortshimError } from "./failure.js";
import { findSetpriv } from "./setpriv.js";
import type { User } from "./user.js";

/** How root becomes the server's user. */
export interface Drop {
  readonly user: User;
  /** util-linux's setpriv, which busybox's is not; undefined: Node has to do it, and leaves more behind. */
  readonly setpriv: string | undefined;
  /** What we hold: without setpcap the bounding set stays. */
  readonly held: ReadonlySet<Capability>;
}

/**
 * Finds out how to become `user`. Throws PortshimError `no-drop` where we are not root, or may not change ids.
 */
export function prepareDrop(user: User): Drop {
  if (process.getuid?.() !== 0) throw new PortshimError("no-drop", "only root can become another user");
  const held = effectiveCapabilities();
  const lacks = (["setuid", "setgid"] as const).filter((name) => !held.has(name));
  if (lacks.length > 0) {
    const names = lacks.map((name) => `CAP_${name.toUpperCase()}`).join(" and ");
    throw new PortshimError("no-drop", `this container's root lacks ${names}`);
  }
  return { user, setpriv: findSetpriv(), held };
}

/**
 * The command that becomes the user and then runs what follows it. With `keepsPort` CAP_NET_BIND_SERVICE stays as the
 * only capability; else none does. root itself keeps what it has.
 */
export function setprivCommand({ user, setpriv, held }: Drop, keepsPort: boolean): readonly string[] {
  const { uid, gid, groups } = user;
  const ids = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length > 0 ? `--groups=${groups.join(",")}` : "--clear-groups",
  ];
  if (uid === 0) return [setpriv ?? "", ...ids];
  const sets = keepsPort ? "-all,+net_bind_service" : "-all";
  const bounding = held.has("setpcap") ? [`--bounding-set=${sets}`] : [];
  return [setpriv ?? "", ...ids, `--inh-caps=${sets}`, `--ambient-caps=${sets}`, ...bounding, "--no-new-privs"];
}

/** What stays behind in the server though it should not, sentences; empty where all can be dropped. */
export function leftovers({ user, setpriv, held }: Drop): string[] {
  if (user.uid === 0) return [];
  if (setpriv === undefined) {
    return [
      "There is no util-linux setpriv here, so Node drops root: the capability bounding set stays, no-new-privileges is not set, and descriptors from 3 to 15 are closed.",
    ];
  }
  if (held.has("setpcap")) return [];
  return ["This container's root lacks CAP_SETPCAP, so the server's capability bounding set could not be emptied."];
}
