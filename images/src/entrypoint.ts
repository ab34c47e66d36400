import { posix } from "node:path";
import { printable } from "portshim/lib/text.js";
import { ImagesError } from "./failure.js";
import { type Image, searchPath } from "./image.js";
import type { Inspection } from "./inspection.js";
import { isAtLeast } from "./node.js";
import { HELPER, STUB } from "./shim.js";

/** What the person wants of portshim in the image. */
export interface Wishes {
  readonly start: number | undefined;
  readonly user: string | undefined;
}

/** Whether portshim is in the image's entrypoint or command already. */
export function isWrapped({ entrypoint, command }: Image): boolean {
  const words = [...entrypoint, ...command];
  const names = (word: string) => posix.basename(word) === "portshim" || word === `${HELPER}/main.js`;
  // The last one: another init may come first, with a -- of its own.
  const end = words.lastIndexOf("--");
  const isShell = words[1] === "-c" && /(^|\/)(ba|da|a)?sh$/.test(words[0] as string);
  return (
    words.slice(0, Math.max(end, 0)).some(names) ||
    (isShell && /(^|[\s;&|(/])portshim\s([^;&|]*\s)?--\s/.test(words[2] ?? ""))
  );
}

/**
 * The entrypoint that has portshim before what it was, and what a person should know of it.
 *
 * Throws ImagesError `not-wrapped` where there is none that would work.
 */
export function wrapEntrypoint(found: Inspection, wishes: Wishes): { entrypoint: string[]; notes: string[] } {
  const { image, hasShell, node } = found;
  const shown = printable(image.reference);
  const usable = node !== undefined && isAtLeast(node.version, 20) && (node.isOnPath || !hasShell);
  const options = [
    ...(wishes.start === undefined ? [] : [`--start=${wishes.start}`]),
    ...(wishes.user === undefined ? [] : [`--user=${wishes.user}`]),
  ];

  if (!hasShell) {
    if (!usable) {
      throw new ImagesError(
        "not-wrapped",
        `${shown} has no shell (/bin/sh) and ${lack(found)}: portshim needs one of the two`,
        "Build it on a base that has one of them.",
      );
    }
    if (!canReplaceItself(node.version)) {
      throw new ImagesError(
        "not-wrapped",
        `${shown} has no shell (/bin/sh), and without one portshim needs Node.js 22.15 or later: it has ${node.version}`,
        "Build it on a base with a newer Node.js, or with a shell.",
      );
    }
    return {
      entrypoint: [node.path, `${HELPER}/main.js`, ...options, "--", ...image.entrypoint],
      notes: [`It has no shell, so its Node.js, ${printable(node.path)}, starts portshim at every start.`],
    };
  }

  const stub = searchPath(image).includes(posix.dirname(STUB)) ? posix.basename(STUB) : STUB;
  if (usable) return { entrypoint: [stub, ...options, "--", ...image.entrypoint], notes: [] };
  if (wishes.user !== undefined) {
    throw new ImagesError(
      "not-wrapped",
      `${shown} has ${lack(found)}, which portshim needs to become another user`,
      "Install Node.js 20 or later in it, or leave --user out.",
    );
  }
  return {
    entrypoint: [stub, ...options, "--optional", "--", ...image.entrypoint],
    notes: [
      `It has ${lack(found)}, so portshim in it cannot ask the host for a port. It says so where the port is not free ` +
        "already, and starts the server all the same (--optional), as before. To have it ask: install Node.js 20 or later.",
    ],
  };
}

/** The middle of a sentence: why the image's Node.js does not do. */
function lack({ hasShell, node }: Inspection): string {
  if (node === undefined) return "no Node.js";
  const path = printable(node.path);
  if (node.version === undefined) return `a Node.js that does not start (${path})`;
  if (!isAtLeast(node.version, 20)) return `only Node.js ${node.version} (${path})`;
  return hasShell ? `no Node.js on its PATH (only ${path})` : "no Node.js";
}

/** process.execve is there since 22.15 and 23.11. */
function canReplaceItself(version: string | undefined): boolean {
  return (
    isAtLeast(version, 22, 15) && (isAtLeast(version, 24) || !isAtLeast(version, 23) || isAtLeast(version, 23, 11))
  );
}
