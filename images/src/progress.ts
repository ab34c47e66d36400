import type { WriteStream } from "node:tty";

/** Where a build's progress is told. */
export interface Progress {
  /** A step begins. */
  step(text: string): void;
  /** Something that a step printed. */
  line(text: string): void;
  /** No more will come. */
  end(): void;
}

/** A terminal narrower than this shows nothing worth reading. */
const NARROWEST = 20;

const ERASE_LINE = "\r\x1b[K";

/**
 * Tells progress on a stream: to a terminal one line per step, below which what the step prints passes by on a line of
 * its own; else every line as it is.
 */
export function progressOn(stream: NodeJS.WritableStream & Partial<WriteStream>): Progress {
  if (!stream.isTTY) {
    const write = (text: string) => stream.write(`${text}\n`);
    return { step: write, line: write, end: () => {} };
  }
  return {
    step: (text) => stream.write(`${ERASE_LINE}${text}\n`),
    line: (text) => {
      // A line that wraps could not be erased.
      const room = Math.max((stream.columns || 80) - 4, NARROWEST);
      stream.write(`${ERASE_LINE}  ${[...text].slice(0, room).join("")}`);
    },
    end: () => stream.write(ERASE_LINE),
  };
}
