/** Exit statuses before the server runs: the conventions of env(1), docker and podman. */
export const STATUS = {
  /** The port is free to bind: the stub becomes the server. */
  ready: 0,
  /** portshim failed, or was called wrongly. */
  failed: 125,
  /** The command cannot be executed. */
  notExecutable: 126,
  /** Between helper and stub only: all was said (--help, --dry-run), nothing is to be started. The stub exits 0. */
  said: 100,
  /** The same for `portshim check`: there is something to do, and a way (the stub exits 1), or no way (2). */
  toDo: 102,
  noWay: 103,
  /** The same where the command is not there (the stub exits 127, which a Node that cannot be started ends with, too). */
  notFound: 104,
  /** Between helper and stub only: this Node is too old. main.ts says it before anything else is loaded. */
  oldNode: 101,
} as const;

/** What a status between helper and stub is for everybody else; one that is for everybody stays as it is. */
export function outward(status: number): number {
  const { said, toDo, noWay, notFound } = STATUS;
  return (
    new Map<number, number>([
      [said, 0],
      [toDo, 1],
      [noWay, 2],
      [notFound, 127],
    ]).get(status) ?? status
  );
}

/** The status of a program that signal number `signal` ended. */
export function signalled(signal: number): number {
  return 128 + signal;
}
