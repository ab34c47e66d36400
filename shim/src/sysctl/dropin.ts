import { SETTING } from "../here/threshold.js";

/** The folder of the drop-ins that people write, below the host's root. */
export const FOLDER = "etc/sysctl.d";

/**
 * The drop-in that `portshim persist` writes, below the host's root. By its number (sysctl.d(5)) it comes after those
 * that distributions ship, and before the ones that people name 99.
 */
export const DROP_IN = `${FOLDER}/90-portshim.conf`;

/** The same on the host itself. */
export const DROP_IN_PATH = `/${DROP_IN}`;

/** The drop-in that a person is told to write by hand; not the same, because `persist --remove` must not remove it. */
export const BY_HAND = `${FOLDER}/90-ports.conf`;

/** The first words of our own file, by which we recognize it. */
const MARK = "# Written by portshim persist";

/**
 * The drop-in's text; `value` is the threshold. It is shorter than a block, so that a full disk takes all of it or
 * nothing; and the number is not at the end, so that a text that has lost its end still sets the same value.
 */
export function dropIn(value: string): string {
  return `${MARK}: any user can bind ports ${value} and up, also after a reboot.
${assignment(value)}# To undo it: portshim persist --remove
`;
}

/** The line that sets `value`, for sysctl.d(5) and sysctl(8). */
export function assignment(value: string): string {
  return `${SETTING} = ${value}\n`;
}

/** Whether portshim wrote this text, or its beginning before the disk was full. */
export function isDropIn(text: string): boolean {
  return text.startsWith(MARK) || MARK.startsWith(text);
}
