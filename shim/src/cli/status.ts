import type { FailureCode, PortshimError } from "../error.js";

/**
 * Exit statuses before the command runs: those of sysexits.h, whose names systemd knows
 * (RestartPreventExitStatus=NOPERM), and the shell's. launcher.c has a list of its own.
 */
export const STATUS = {
  ok: 0,
  /** `portshim check`: something to do, and a way. */
  toDo: 1,
  /** `portshim check`: something to do, and no way from here. */
  noWay: 2,
  /** EX_USAGE: bad options, or no such user. */
  usage: 64,
  /** EX_UNAVAILABLE: no way from here, or the host failed. */
  unavailable: 69,
  /** EX_SOFTWARE: a bug in portshim. */
  software: 70,
  /** EX_NOPERM: refused, dismissed or not answered in time; or root cannot be dropped. */
  noPermission: 77,
  /** The command exists, but cannot be executed. */
  notExecutable: 126,
  /** There is no such command. */
  notFound: 127,
  /** SIGTERM. */
  terminated: 128 + 15,
} as const;

/** The exit status of each failure but those that mean that there is no way, or that the host failed. */
const STATUSES: Partial<Record<FailureCode, number>> = {
  "bad-usage": STATUS.usage,
  "no-user": STATUS.usage,
  "no-drop": STATUS.noPermission,
  "not-found": STATUS.notFound,
  "not-executable": STATUS.notExecutable,
};

/** portshim's exit status after a failure; docs/portshim.md lists them. */
export function statusOf({ code, isRefusal }: PortshimError): number {
  return STATUSES[code] ?? (isRefusal ? STATUS.noPermission : STATUS.unavailable);
}
