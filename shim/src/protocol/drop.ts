import { PortshimError } from "../error.js";
import { type Capability, effectiveCapabilities } from "../here/capabilities.js";
import { resolveUser, type User } from "../here/user.js";
import { REASON } from "../report/reason.js";
import { printable } from "../text.js";
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
  const user = resolveUser(spec);
  const failed = (why: string) => new PortshimError("no-drop", `"${printable(spec)}": ${why}`);
  if (process.getuid?.() !== 0) throw failed(REASON.onlyRoot);
  const held = effectiveCapabilities();
  const lacks = (["setuid", "setgid"] as const).filter((name) => !held.has(name));
  if (lacks.length > 0) throw failed(REASON.lacksCapabilities(lacks.map((name) => `CAP_${name.toUpperCase()}`)));
  if (user.groups.length > MOST_GROUPS || Buffer.byteLength(user.home) >= LONGEST_HOME) {
    throw failed(REASON.tooMuch(MOST_GROUPS, LONGEST_HOME));
  }
  return { user, held };
}
