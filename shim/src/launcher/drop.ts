import { PortshimError } from "../failure.js";
import { type Capability, effectiveCapabilities } from "../here/capabilities.js";
import { resolveUser, type User } from "../here/user.js";
import { LONGEST_HOME, MOST_GROUPS } from "./reply.js";

/** What the launcher needs to switch to the server's user. */
export interface Drop {
  readonly user: User;
  /** The capabilities we hold. */
  readonly held: ReadonlySet<Capability>;
}

/**
 * Resolves the user that --user names, before anything is changed: a server that was to be dropped never runs as root.
 * Throws PortshimError `no-user` or `no-drop`.
 */
export function dropTo(spec: string): Drop {
  return prepareDrop(resolveUser(spec));
}

/** Throws PortshimError `no-drop` if we cannot become `user`. */
function prepareDrop(user: User): Drop {
  if (process.getuid?.() !== 0) throw new PortshimError("no-drop", "only root can do that");
  const held = effectiveCapabilities();
  const lacks = (["setuid", "setgid"] as const).filter((name) => !held.has(name));
  if (lacks.length > 0) {
    const names = lacks.map((name) => `CAP_${name.toUpperCase()}`).join(" and ");
    throw new PortshimError("no-drop", `this container's root lacks ${names}`);
  }
  if (user.groups.length > MOST_GROUPS || Buffer.byteLength(user.home) >= LONGEST_HOME) {
    throw new PortshimError("no-drop", `more than ${MOST_GROUPS} groups, or a home of ${LONGEST_HOME} bytes`);
  }
  return { user, held };
}
