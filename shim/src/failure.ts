import { SETTING } from "./here/threshold.js";

/** Every way in which portshim can fail, by code: one sentence that says what failed. */
const SENTENCES = {
  "bad-usage": (detail: string) => detail,
  "no-setting": (port: string) =>
    `port ${port} needs privileges here, and this kernel has no ${SETTING} to lower; run the server as root, or give it CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep PROGRAM)`,
  "no-way": (detail: string) => `cannot lower ${SETTING} from here: ${detail}`,
  refused: (detail: string) => `permission denied by the host: ${detail}`,
  // launcher.c says the same.
  "refused-another": () => "permission denied to another portshim, which asked the host just before",
  dismissed: () => "the password prompt was dismissed",
  "timed-out": (seconds: string) => `nobody answered the password prompt within ${seconds} seconds`,
  "bridge-failed": (detail: string) => `cannot ask the host: ${detail}`,
  "host-failed": (detail: string) => `sysctl failed on the host: ${detail}`,
  "nsenter-failed": (detail: string) => `cannot set ${SETTING} in this container's network namespace: ${detail}`,
  "no-persist": (detail: string) => detail,
  "persist-failed": (detail: string) => `persist failed: ${detail}`,
  "no-guard": (detail: string) => `cannot change the host's firewall: ${detail}`,
  "guard-failed": (detail: string) => `nft failed on the host: ${detail}`,
  unchanged: (detail: string) => `the host reports success, but ${SETTING} is still ${detail}`,
  // The launcher says the same, but knows only the user's number.
  "no-user": (detail: string) => `cannot switch to user ${detail}`,
  "no-drop": (detail: string) => `cannot switch to user ${detail}`,
  // In the words of exec, and of the launcher.
  "not-found": (command: string) => `${command}: No such file or directory`,
  "not-executable": (command: string) => `${command}: Permission denied`,
  "output-failed": (detail: string) => `cannot write the output: ${detail}`,
  "write-failed": (detail: string) => `cannot write ${SETTING}: ${detail}`,
} as const;

/**
 * Names a failure for programs; stable across releases. docs/library.md lists those that ensurePorts() can reject with.
 */
export type FailureCode = keyof typeof SENTENCES;

/** A person or a policy said no: asking again would not help. */
const REFUSALS: readonly FailureCode[] = ["refused", "refused-another", "dismissed", "timed-out"];

/**
 * A failure that can happen: a code for programs, and as `message` one sentence for people, which the command line
 * prints as well. Anything in it that another program said is plain text, cut at 400 characters.
 */
export class PortshimError extends Error {
  /** For programs that load two copies of portshim, in which `instanceof` fails. */
  override readonly name = "PortshimError";
  /** Which failure it is; stable across releases. */
  readonly code: FailureCode;
  /** What was tried, and the one thing to do next: lines for a person, without a final newline; may be empty. */
  remedy = "";

  /** `detail` completes the sentence of `code`; what the system said must have gone through printable(). */
  constructor(code: FailureCode, detail = "") {
    super(SENTENCES[code](detail));
    this.code = code;
  }

  /** Whether a person or a policy said no, rather than something failing. */
  get isRefusal(): boolean {
    return REFUSALS.includes(this.code);
  }
}
