import { BRIDGE, BY_HAND, type Data, DRY_RUN, NODE, PORTSHIM } from "../report/results.js";
import type { Bench } from "./bench.js";
import { byName } from "./timer.js";
import { inToolbox } from "./toolbox.js";

const SCRIPT = `
  const things = [
    () => took([bridge, "--host", "true"]),
    () => set(80),
    () => took(["node", "-e", "0"]),
    () => took([portshim, "--start=80", "--dry-run", "--", "/bin/true"]),
    () => took([portshim, "--start=80", "--", "/bin/true"]),
  ].map((measure, at) => ({ measure, at }));
  for (let round = 0; round < rounds; round++) {
    const line = [];
    for (const { measure, at } of inTurn(things)) {
      set(1024);
      line[at] = measure();
    }
    console.log(...line);
  }
`;

/** An unsatisfied start, in a toolbox: detect, ask, set, exec; and the same by hand. */
export async function unsatisfied(bench: Bench): Promise<Data["unsatisfied"]> {
  const names = [BRIDGE, BY_HAND, NODE, DRY_RUN, PORTSHIM];
  return byName(names, await inToolbox(bench, SCRIPT, bench.rounds(60)));
}
