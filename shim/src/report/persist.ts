import { KERNEL_DEFAULT, SETTING } from "../here/threshold.js";
import { DROP_IN_PATH, FOLDER } from "../sysctl/dropin.js";
import type { Assignment } from "../sysctl/resolve.js";
import { commandLine, indented, printable } from "../text.js";
import { byHand, keepByHand, removeByHand } from "./remedy.js";

/** What is done to the host's file and threshold. */
export type Change = {
  /** The threshold to set. */
  readonly value: number;
  /** The drop-in's text afterwards; undefined: no drop-in. */
  readonly text: string | undefined;
} & (
  | { readonly kind: "write" | "remove" }
  | {
      readonly kind: "apply";
      /** What sets the value already, but was never applied: a file and line. */
      readonly setBy: string;
    }
);

/** What the host has now. */
export interface State {
  readonly text: string | undefined;
  readonly threshold: number | undefined;
}

/** Why the host's files cannot be changed: the middle of a sentence. */
export const WHY = {
  foreign: "it exists, and portshim did not write it",
  unseen: `cannot read the host's /${FOLDER} from here`,
  noFolder: `the host has no /${FOLDER}`,
} as const;

/** The sentence of which that is the middle. */
export function cannot(reason: string): string {
  return `cannot change ${DROP_IN_PATH} on the host: ${reason}`;
}

/** What to do if the host has no folder for it: systemd brings that. */
export const MAKE_FOLDER = `Run this on the host, then persist again:\n    ${commandLine(["sudo", "mkdir", "-m", "755", `/${FOLDER}`])}`;

/** That --remove takes no --start. */
export const REMOVE_ALONE = "--remove restores what the host's other files set, and takes no --start";

/** What is about to be done; lines. */
export function aboutTo(change: Change): string {
  if (change.kind === "remove")
    return `Removing ${DROP_IN_PATH} on the host, and setting ${SETTING} to ${change.value}`;
  if (change.kind === "apply") return `${neverApplied(change.setBy)}: setting it now`;
  return `Writing this on the host, as ${DROP_IN_PATH}:\n${indented(change.text ?? "")}`;
}

/** The same for --dry-run. */
export function would(change: Change): string {
  if (change.kind === "remove")
    return `Would remove ${DROP_IN_PATH} on the host, and set ${SETTING} to ${change.value}`;
  if (change.kind === "apply") return neverApplied(change.setBy);
  return `Would write this on the host, as ${DROP_IN_PATH}:\n${indented(change.text ?? "")}`;
}

function neverApplied(setBy: string): string {
  return `${setBy} sets it on the host, but it was never applied`;
}

/** That there is nothing to do: the file is there, or what it would do is done by `keptBy`. */
export function nothingToDo(value: number, keptBy: string | undefined): string {
  if (keptBy === undefined) return `Nothing to do: the host has ${DROP_IN_PATH} already.`;
  return `Nothing to do: any user can bind ports ${value} and up, also after a reboot (${keptBy}).`;
}

/** That there is nothing to remove. */
export const NOTHING_TO_REMOVE = `Nothing to do: the host has no ${DROP_IN_PATH}.`;

/** That it worked; `isKept`: no other file overrides it. */
export function done({ kind, value }: Change, isKept: boolean): string {
  if (kind === "remove") return `Done. ${DROP_IN_PATH} is gone, and any user can bind ports ${value} and up.`;
  const until = isKept ? "also after a reboot" : "until the host reboots";
  const undo = kind === "write" ? " To undo it:\n    portshim persist --remove" : "";
  return `Done. Any user can now bind ports ${value} and up, ${until}.${undo}`;
}

/** That another file on the host wins over the drop-in. */
export function overrides({ file, line, text, value }: Assignment, wanted: number): string {
  const effect =
    value === undefined
      ? `is invalid, so that the host boots with ${KERNEL_DEFAULT}`
      : "applies from the host's next reboot";
  return `${printable(file)}:${line} overrides ${DROP_IN_PATH}: it sets "${printable(text)}", which ${effect}. Remove that line to keep ${wanted}.`;
}

/** What is done of a change that failed, and what is not; the host boots with `boot`. */
export function halfDone(change: Change, before: State, after: State, boot: number): string {
  return `Now ${fileNow(change, before, after)}; ${SETTING} is ${after.threshold}, and will be ${boot} after the host's next reboot.`;
}

function fileNow(change: Change, before: State, { text }: State): string {
  if (text === undefined) return `there is no ${DROP_IN_PATH}`;
  if (text === change.text) return `${DROP_IN_PATH} is there`;
  if (text === before.text) return `${DROP_IN_PATH} is what it was`;
  if (text === "") return `${DROP_IN_PATH} is empty`;
  return change.text?.startsWith(text) ? `${DROP_IN_PATH} is half written` : `${DROP_IN_PATH} holds something else`;
}

/** The one thing to do after that. */
export function finish(change: Change, before: State, after: State): string {
  if (after.text === change.text) return `Run this on the host:\n    ${byHand(change.value)}`;
  if (change.kind === "remove") return removeByHand(change.value);
  if (after.text === before.text) return keepByHand(change.value);
  return "Make room on the host's disk and run it again, or undo it:\n    portshim persist --remove";
}
