import type { Data } from "../report/results.js";
import { median } from "../report/statistics.js";
import type { Bench } from "./bench.js";
import { byNumber } from "./satisfied.js";

/** A satisfied start, by the number of environment variables, of which the kernel copies each at every exec. */
export function variables(bench: Bench): Data["variables"] {
  return byNumber(bench, [10, 100, 1000, 10_000], (number) => ({ env: environment(number) }), median);
}

function environment(count: number): Record<string, string> {
  const PATH = process.env.PATH ?? "/usr/bin:/bin";
  const names = Array.from({ length: count - 1 }, (_, i) => `VARIABLE_${i}`);
  return { PATH, ...Object.fromEntries(names.map((name) => [name, "a value of twenty-six bytes"])) };
}
