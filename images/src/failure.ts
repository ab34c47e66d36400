/** Every way in which portshim-images can fail, by code: one sentence that says what failed. */
const SENTENCES = {
  "bad-usage": (detail: string) => detail,
  "no-engine": (detail: string) => `no container engine answers (${detail})`,
  "no-image": (detail: string) => `there is no image ${detail} here`,
  "no-launcher": (detail: string) => `there is no portshim ${detail}`,
  "not-wrapped": (detail: string) => detail,
  "bad-image": (detail: string) => `the image is not one that can be read: ${detail}`,
  "bad-context": (detail: string) => `the files for the build cannot be packed: ${detail}`,
  "build-failed": (detail: string) => `the build failed at ${detail}`,
  "engine-failed": (detail: string) => `the engine could not ${detail}`,
  "engine-gone": (detail: string) => `the engine went away before it could ${detail}`,
  interrupted: (detail: string) => `stopped by ${detail}`,
} as const;

/** Names a failure for programs; stable across releases. */
export type FailureCode = keyof typeof SENTENCES;

/** A failure that can happen: a code for programs and one sentence for people, never a stack trace. */
export class ImagesError extends Error {
  override readonly name = "ImagesError";
  readonly code: FailureCode;
  /** The one thing to do next, for a person; may be empty. */
  readonly remedy: string;

  /** `detail` completes the sentence of `code`; what the engine or an image said must have gone through printable(). */
  constructor(code: FailureCode, detail: string, remedy = "") {
    super(SENTENCES[code](detail));
    this.code = code;
    this.remedy = remedy;
  }
}
