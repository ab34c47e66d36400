import { NAME } from "./threshold.js";

/**
 * The drop-in that `portshim persist` writes, below the host's root. Its number (sysctl.d(5)) has it read after what
 * distributions ship, and before what people call 99.
 */
export const DROP_IN = "etc/sysctl.d/90-portshim.conf";

/** What a person is told to write who has no portshim to do it; of another name, because it is not ours to remove. */
export const BY_HAND = "etc/sysctl.d/90-ports.conf";

/** By its first words we know our own file again. */
export const MARK = "# Written by portshim persist";

/** The drop-in's text; `value` is the threshold, or what stands for it in a script. */
export function dropIn(value: string): string {
  return `${MARK}: ordinary users may bind ports from ${value} up, also after a restart.
# To undo it: portshim persist --remove
${NAME} = ${value}
`;
}

/** Whether portshim wrote this text. */
export function isDropIn(text: string): boolean {
  return text.startsWith(MARK);
}
