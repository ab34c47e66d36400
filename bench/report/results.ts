// What the bench writes to results.json, and what tables and plots are made from.

/** Milliseconds by round, of each thing that was run once in every round: two of the same round can be divided. */
export type Times = Readonly<Record<string, readonly number[]>>;

/** The machine that something was measured on. */
export interface Machine {
  readonly architecture: string;
  readonly processors: number;
  readonly kernel: string;
  readonly system: string;
  /** Versions by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** How many environment variables everything was started with. */
  readonly variables: number;
  /** How many sysctl.d files there are. */
  readonly dropIns: number;
}

/** What is measured, by the measurement's name. */
export interface Data {
  /** A satisfied start of `true` through each program. */
  readonly satisfied: Times;
  /** The same through tini and portshim, by the number of drop-ins; a turn's medians instead of a round's times. */
  readonly dropIns: Readonly<Record<string, Times>>;
  /** The same by the number of environment variables. */
  readonly variables: Readonly<Record<string, Times>>;
  /** The same through portshim, and through a program that is nothing but an exec, by architecture. */
  readonly architecture: Readonly<Record<string, Times>>;
  /** An unsatisfied start in a toolbox, and what it can be compared with. */
  readonly unsatisfied: Times;
  /** One start and twenty at once, until all have started. */
  readonly together: Times;
  /** `podman run` of a server until it answers. */
  readonly podman: Times;
  /** What wraps an image: its time, and the bytes that it adds to the image. */
  readonly wrap: { readonly times: Times; readonly added: Readonly<Record<string, number>> };
  /** Kilobytes, private ones, of all processes that a start leaves, by round, and the most processes besides the server. */
  readonly memory: Readonly<Record<string, { readonly kilobytes: readonly number[]; readonly others: number }>>;
  /** Bytes on the disk and, compressed, on the way there. */
  readonly bytes: Readonly<Record<string, { readonly unpacked: number; readonly packed: number }>>;
}

/** The name of a measurement. */
export type Name = keyof Data;

/** Each measurement with the machine that it was made on. */
export type Results = { readonly [N in Name]?: { readonly machine: Machine; readonly data: Data[N] } };

/** Names in the data that more than one file needs. */
export const TINI = "tini -s";
export const PORTSHIM = "portshim";
export const NODE = "node -e 0";
export const SERVER = "the server alone";
export const BRIDGE = "flatpak-spawn --host true";
export const BY_HAND = "flatpak-spawn --host pkexec sysctl -w …";
export const DRY_RUN = "portshim --dry-run";
export const EXEC = "a static program that only execs";
export const ONE = "one";
export const TWENTY = "twenty";
export const TWENTY_SATISFIED = "twenty, nothing to do";
export const WITH = "with portshim";
export const WITHOUT = "without";
export const WRAP = "portshim-images wrap";
export const BUILD = "podman build";
