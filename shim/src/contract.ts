// What ensurePorts() promises its callers, and nothing else: their compilers read these declarations, some of them
// without Node's own types.

declare global {
  // Without Node's types and the DOM's the name would be missing; with either of them this adds nothing.
  interface AbortSignal {}
}

/** How loud a message is: `detail` for --verbose, `info` silenced by --quiet, `notice` always shown. */
export type Level = "detail" | "info" | "notice";

/**
 * Takes one message: one or more lines of plain text without a final newline and without control characters.
 * `notice` shows the command that is about to run as root, and a person has to see it before the password prompt.
 */
export type Log = (level: Level, message: string) => void;

/** The name of a route, as `via` and --via take it; docs/portshim.md says what each does. */
export type RouteName = "write" | "capability" | "nsenter" | "pkexec" | "run0" | "sudo";

/** What was done: nothing, because it was satisfied already, or the name of the route that did it. */
export type Done = "already" | RouteName;

/** What ensurePorts() is asked for; any other property is an error, as it could be a misspelt one. */
export interface EnsureOptions {
  /**
   * The first port the server needs: an integer from 0 to 1024. Default: what the sysctl.d files ask for, else 80.
   * Source: net.ipv4.ip_unprivileged_port_start in the kernel's ip-sysctl.rst, which is 1024 unless it was set.
   */
  readonly start?: number | undefined;
  /**
   * Names of the routes to try (RouteName), in this order, at least one. Default: all but `sudo`, least
   * intrusive first.
   */
  readonly via?: readonly RouteName[] | undefined;
  /** How long a password prompt can stay open, in seconds: an integer from 1 to 86400. Default: 120. */
  readonly timeout?: number | undefined;
  /**
   * Aborting it closes an open prompt and rejects with the signal's reason. A value that the host has set by then stays
   * set.
   */
  readonly signal?: AbortSignal | undefined;
  /** Gets every message of every level; if it throws, the call rejects with that. Default: no messages. */
  readonly logger?: Log | undefined;
}
