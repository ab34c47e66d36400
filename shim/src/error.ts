/**
 * Names a failure for programs; stable across releases. docs/library.md lists those that ensurePorts() can reject with.
 */
export type FailureCode =
  | "bad-usage"
  | "no-setting"
  | "no-way"
  | "refused"
  | "refused-another"
  | "dismissed"
  | "timed-out"
  | "bridge-failed"
  | "host-failed"
  | "nsenter-failed"
  | "no-persist"
  | "persist-failed"
  | "no-guard"
  | "guard-failed"
  | "unchanged"
  | "no-user"
  | "no-drop"
  | "not-found"
  | "not-executable"
  | "output-failed"
  | "write-failed";

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
    // Loaded when something fails: a start does not wait for it.
    super(require("./report/failure.js").FAILURE[code](detail));
    this.code = code;
  }

  /** Whether a person or a policy said no, rather than something failing. */
  get isRefusal(): boolean {
    return REFUSALS.includes(this.code);
  }
}
