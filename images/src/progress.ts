import type { WriteStream } from "node:tty";

/** Shows a build's progress. */
export interface Progress {
  /** A step begins. */
  step(text: string): void;
  /** A line that a step printed. */
  line(text: string): void;
  /** The build has ended. */
  end(): void;
}

/** Columns that are used even of a narrower terminal. */
const NARROWEST = 20;

const ERASE_LINE = "\r\x1b[K";

/**
 * Shows progress on a stream: on a terminal one line per step, and below it only the latest line that the step printed;
 * else every line.
 */
export function progressOn(stream: NodeJS.WritableStream & Partial<WriteStream>): Progress {
  if (!stream.isTTY) {
    const write = (text: string) => stream.write(`${text}\n`);
    return { step: write, line: write, end: () => {} };
  }
  return {
    step: (text) => stream.write(`${ERASE_LINE}${text}\n`),
    line: (text) => {
      // A line that wraps cannot be erased.
      const room = Math.max((stream.columns || 80) - 4, NARROWEST);
      stream.write(`${ERASE_LINE}  ${[...text].slice(0, room).join("")}`);
    },
    end: () => stream.write(ERASE_LINE),
  };
}
