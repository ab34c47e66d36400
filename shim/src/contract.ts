// What a program that calls ensurePorts() is promised, and nothing else: its compiler reads these declarations, and may
// know nothing of Node's own types.

declare global {
  // Where neither Node's types nor the DOM's are there, the name must exist all the same; else this adds nothing.
  interface AbortSignal {}
}

/** How loud a message is: `detail` for --verbose, `info` silenced by --quiet, `notice` always said. */
export type Level = "detail" | "info" | "notice";

/**
 * Takes one message: one or more lines of plain text without a final newline and without control characters.
 * `notice` shows the command that is about to run as root, and a person should see it before the password prompt.
 */
export type Log = (level: Level, message: string) => void;

/** The name of a route, as `via` and --via take it; docs/portshim.md says what each does. */
export type RouteName = "write" | "capability" | "nsenter" | "pkexec" | "run0" | "sudo";

/** What was done: nothing, because it was satisfied already, or the name of the route that did it. */
export type Done = "already" | RouteName;

/** What ensurePorts() is asked for; any other property is refused, for it may be a misspelt one. */
export interface EnsureOptions {
  /**
   * The first port the server needs: an integer from 0 to 1024. Default: what the sysctl.d files ask for, else 80.
   * Source: net.ipv4.ip_unprivileged_port_start in the kernel's ip-sysctl.rst, which is 1024 unless somebody set it.
   */
  readonly start?: number | undefined;
  /**
   * Names of the routes that may be tried (RouteName), in this order, at least one. Default: all but `sudo`, least
   * intrusive first.
   */
  readonly via?: readonly RouteName[] | undefined;
  /** How long a password prompt may stay open, in seconds: an integer from 1 to 86400. Default: 120. */
  readonly timeout?: number | undefined;
  /**
   * Stops it: closes the prompt that is open and rejects with the signal's reason. Once the host has set the value it
   * stays set.
   */
  readonly signal?: AbortSignal | undefined;
  /** Gets every message of every level; what it throws rejects the call. Default: nothing is said anywhere. */
  readonly logger?: Log | undefined;
}
