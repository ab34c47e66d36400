import type { Times } from "./results.js";

/** A median, and how far single rounds are from it. */
export interface Summary {
  readonly median: number;
  readonly quartiles: readonly [number, number];
}

/** The value below which this share of the values lies, interpolated. NaN if there are none. */
export function quantile(values: readonly number[], share: number): number {
  return sortedQuantile([...values].sort(ascending), share);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/**
 * One thing's times divided by another's, round by round: a machine whose speed drifts is as unfair to both.
 *
 * Throws if a name is missing, or the rounds do not match.
 */
export function ratios(times: Times, name: string, to: string): number[] {
  const [above, below] = [series(times, name), series(times, to)];
  if (above.length !== below.length) throw new Error(`${name} has ${above.length} rounds, ${to} ${below.length}`);
  return above.map((value, round) => value / (below[round] as number));
}

/** The rounds of one name. Throws if it is missing. */
export function series(times: Times, name: string): readonly number[] {
  const found = times[name];
  if (found === undefined) throw new Error(`nothing was measured of ${name}`);
  return found;
}

/** Of values by round. */
export function summary(values: readonly number[]): Summary {
  const sorted = [...values].sort(ascending);
  return {
    median: sortedQuantile(sorted, 0.5),
    quartiles: [sortedQuantile(sorted, 0.25), sortedQuantile(sorted, 0.75)],
  };
}

/** Where the median of values by round is, with 95 % confidence: a bootstrap's, and the same for the same values. */
export function interval(values: readonly number[]): readonly [number, number] {
  const random = generator(values.length);
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] as number)),
  ).sort(ascending);
  return [sortedQuantile(medians, 0.025), sortedQuantile(medians, 0.975)];
}

const RESAMPLES = 1000;
const ascending = (a: number, b: number) => a - b;

function sortedQuantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
