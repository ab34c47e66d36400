import { SETTING } from "../here/threshold.js";

/**
 * The drop-in that `portshim persist` writes, below the host's root. Its number (sysctl.d(5)) has it read after what
 * distributions ship, and before what people call 99.
 */
export const DROP_IN = "etc/sysctl.d/90-portshim.conf";

/** What a person is told to write who has no portshim to do it; of another name, because it is not ours to remove. */
export const BY_HAND = "etc/sysctl.d/90-ports.conf";

/** By its first words we know our own file again. */
const MARK = "# Written by portshim persist";

/**
 * The drop-in's text; `value` is the threshold. It is one write(2) of less than a block, of which a full disk takes all or nothing; and the number is
 * not at its end, so that a text that has lost some of that still asks for the same.
 */
export function dropIn(value: string): string {
  return `${MARK}: any user can bind ports ${value} and up, also after a reboot.
${assignment(value)}# To undo it: portshim persist --remove
`;
}

/** The line that asks for `value`, as sysctl.d(5) and sysctl(8) read it. */
export function assignment(value: string): string {
  return `${SETTING} = ${value}\n`;
}

/** Whether portshim wrote this text, or the start of it before the disk was full. */
export function isDropIn(text: string): boolean {
  return text.startsWith(MARK) || MARK.startsWith(text);
}
