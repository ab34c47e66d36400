import { type Data, ONE, TWENTY, TWENTY_SATISFIED } from "../report/results.js";
import type { Bench } from "./bench.js";
import { byName } from "./timer.js";
import { inToolbox } from "./toolbox.js";

const SCRIPT = `
  const start = () => new Promise((resolve, reject) => {
    const child = spawn(portshim, ["--start=80", "--", "/bin/true"], { stdio: "ignore" });
    child.on("error", reject);
    child.on("exit", (status) => status === 0 ? resolve() : reject(new Error("status " + status)));
  });
  const until = async (count) => {
    const begin = now();
    await Promise.all(Array.from({ length: count }, start));
    return now() - begin;
  };
  const things = [[1, 1024], [20, 1024], [20, 80]].map(([count, value], at) => ({ count, value, at }));
  (async () => {
    for (let round = 0; round < rounds; round++) {
      const line = [];
      for (const { count, value, at } of inTurn(things)) {
        set(value);
        line[at] = await until(count);
      }
      console.log(...line);
    }
  })();
`;

/** Twenty unsatisfied starts at once, in a toolbox, until the last has started; and one. */
export async function together(bench: Bench): Promise<Data["together"]> {
  return byName([ONE, TWENTY, TWENTY_SATISFIED], await inToolbox(bench, SCRIPT, bench.rounds(40)));
}
