import type { Resolution } from "../sysctl/resolve.js";

/** The threshold to reach, and who asked for it. */
export interface Wanted {
  /** 0–65535. */
  readonly value: number;
  /** For a sentence: "/etc/sysctl.d/80-web.conf:1", "--start", "this server"; undefined: nobody asked, it is 80. */
  readonly by: string | undefined;
  /** It was asked for in a sysctl.d file that was never applied here. */
  readonly fromFile: boolean;
}

/** What is wanted where nothing asks for anything: the web's port. */
const WEB = 80;

/**
 * The threshold that is wanted: `start`, which `asker` asks for (--start or PORTSHIM_START, or a program), else what
 * the sysctl.d files here declare, else the host's, else 80.
 */
export function wanted(
  start: number | undefined,
  here: Resolution,
  host: Resolution | undefined,
  asker = "--start",
): Wanted {
  if (start !== undefined) return { value: start, by: asker, fromFile: false };
  const declared = here.declared ?? host?.declared;
  if (declared?.value === undefined) return { value: WEB, by: undefined, fromFile: false };
  return { value: declared.value, by: `${declared.file}:${declared.line}`, fromFile: true };
}
