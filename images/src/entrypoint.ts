import { posix } from "node:path";
import { printable } from "portshim/internal";
import { ImagesError } from "./failure.js";
import { type Image, searchPath } from "./image.js";
import type { Inspection } from "./inspection.js";
import { isUsable, lackOf } from "./node.js";
import { LAUNCHER } from "./shim.js";

/** The options for portshim in the image. */
interface Wishes {
  readonly start: number | undefined;
  readonly user: string | undefined;
}

/** portshim's options in the image's entrypoint or command; undefined if neither starts it. */
export function optionsIn({ entrypoint, command }: Image): readonly string[] | undefined {
  const words = [...entrypoint, ...command];
  // Another init can precede it, with a -- of its own.
  const at = words.findIndex((word) => posix.basename(word) === "portshim");
  const end = at < 0 ? -1 : words.indexOf("--", at);
  if (end >= 0) return words.slice(at + 1, end);
  const isShell = words[1] === "-c" && /(^|\/)(ba|da|a)?sh$/.test(words[0] ?? "");
  if (!isShell) return undefined;
  const lists = (words[2] ?? "").split(/[;&|]/).map(optionsInWords);
  return lists.find((options) => options !== undefined);
}

/** The same in one command of a shell's. In steps: one regular expression would take hours for a megabyte of portshims. */
function optionsInWords(text: string): string[] | undefined {
  const [, rest] = /(?:^|[\s(/])portshim(\s[\s\S]*)$/.exec(text) ?? [];
  const end = rest?.search(/\s--\s/) ?? -1;
  return end < 0 ? undefined : rest?.slice(0, end).split(/\s+/).filter(Boolean);
}

/** Whether the image's entrypoint or command starts portshim already. */
export function isWrapped(image: Image): boolean {
  return optionsIn(image) !== undefined;
}

/**
 * The image's entrypoint with portshim before it, and notes for the person.
 *
 * Throws ImagesError `not-wrapped` if portshim would not work.
 */
export function wrapEntrypoint(
  { image, node }: Inspection,
  { start, user }: Wishes,
): { entrypoint: string[]; notes: string[] } {
  const portshim = searchPath(image).includes(posix.dirname(LAUNCHER)) ? posix.basename(LAUNCHER) : LAUNCHER;
  const options = [
    ...(start === undefined ? [] : [`--start=${start}`]),
    ...(user === undefined ? [] : [`--user=${user}`]),
  ];
  if (isUsable(node)) return { entrypoint: [portshim, ...options, "--", ...image.entrypoint], notes: [] };
  const { lack, remedy } = lackOf(node);
  // --optional does not cover it.
  if (user !== undefined || image.environment.get("PORTSHIM_USER")) {
    throw new ImagesError(
      "not-wrapped",
      `${printable(image.reference)} has ${lack}, which portshim needs to become another user`,
      `Either ${remedy}, or ${user === undefined ? "build the image without PORTSHIM_USER" : "omit --user"}.`,
    );
  }
  return {
    entrypoint: [portshim, ...options, "--optional", "--", ...image.entrypoint],
    notes: [
      `It has ${lack}, so portshim in it cannot ask the host. If the server's port needs a privilege when it starts, ` +
        `portshim says so, and starts the server anyway (--optional). To have it ask: ${remedy}.`,
    ],
  };
}
