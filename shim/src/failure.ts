import { NAME } from "./here/threshold.js";
import { DROP_IN } from "./sysctl/dropin.js";

/** Every way in which portshim can fail, by code: one sentence that says what failed. */
const SENTENCES = {
  "bad-usage": (detail: string) => detail,
  "no-setting": (port: string) =>
    `port ${port} needs privileges here, and this kernel has no ${NAME} to lower; run the server as root, or give it CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep PROGRAM)`,
  "no-way": (detail: string) => `cannot lower ${NAME} from here: ${detail}`,
  refused: (detail: string) => `permission denied by the host: ${detail}`,
  // launcher.c says the same.
  "refused-another": () => "permission denied to another portshim, which asked the host just before",
  dismissed: () => "the password prompt was dismissed",
  "timed-out": (seconds: string) => `nobody answered the password prompt within ${seconds} seconds`,
  "bridge-failed": (detail: string) => `cannot ask the host: ${detail}`,
  "host-failed": (detail: string) => `sysctl failed on the host: ${detail}`,
  "nsenter-failed": (detail: string) => `cannot set ${NAME} in this container's network namespace: ${detail}`,
  "no-persist": (detail: string) => `cannot change /${DROP_IN} on the host: ${detail}`,
  "persist-failed": (detail: string) => `persist failed: ${detail}`,
  "no-guard": (detail: string) => `cannot change the host's firewall: ${detail}`,
  "guard-failed": (detail: string) => `nft failed on the host: ${detail}`,
  unchanged: (detail: string) => `the host reports success, but ${NAME} is still ${detail}`,
  "no-user": (detail: string) => `cannot switch to the user: ${detail}`,
  "no-drop": (detail: string) => `cannot switch to the user: ${detail}`,
  // What exec would say, and the launcher says.
  "not-found": (command: string) => `${command}: No such file or directory`,
  "not-executable": (command: string) => `${command}: Permission denied`,
  "output-failed": (detail: string) => `cannot write the output: ${detail}`,
  "write-failed": (detail: string) => `cannot write ${NAME}: ${detail}`,
} as const;

/** Names a failure for programs; stable across releases. docs/library.md says which of them ensurePorts() can meet. */
export type FailureCode = keyof typeof SENTENCES;

/** A person's or a policy's no: asking again would only annoy. */
const REFUSALS: readonly FailureCode[] = ["refused", "refused-another", "dismissed", "timed-out"];

/**
 * A failure that can happen: a code for programs, and as `message` one sentence for people, the same that the command
 * line prints. What another program said is in it as plain text: no control characters, at most 400 characters.
 */
export class PortshimError extends Error {
  /** Tells it from other errors where `instanceof` cannot: two copies of portshim. */
  override readonly name = "PortshimError";
  /** Which failure it is. */
  readonly code: FailureCode;
  /** What was tried and the one thing to do next, for a person: lines without a final newline; may be empty. */
  remedy = "";

  /** `detail` completes the sentence of `code`; what a system said goes through printable() first. */
  constructor(code: FailureCode, detail = "") {
    super(SENTENCES[code](detail));
    this.code = code;
  }

  /** Whether somebody said no, as against something being broken. */
  get isRefusal(): boolean {
    return REFUSALS.includes(this.code);
  }
}
