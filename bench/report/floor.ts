import { BY_HAND, NODE, PORTSHIM, type Results, SERVER, TINI, type Times, WITH, WITHOUT } from "./results.js";
import { interval, median, ratios, series } from "./statistics.js";

/** What must not be exceeded. */
export interface Floor {
  readonly what: string;
  /** The median. */
  readonly value: number;
  /** Where it is, with 95 % confidence. */
  readonly interval: readonly [number, number];
  readonly most: number;
}

/** The floors of what was measured. */
export function floors({ satisfied, dropIns, unsatisfied, podman, memory, bytes }: Results): Floor[] {
  const found: Floor[] = [];
  const add = (what: string, values: readonly number[], most: number) =>
    found.push({ what, value: median(values), interval: interval(values), most });
  if (satisfied) {
    add("portshim / tini -s", ratios(satisfied.data, PORTSHIM, TINI), 0.8);
    add("portshim / node -e 0", ratios(satisfied.data, PORTSHIM, NODE), 1 / 15);
  }
  if (dropIns) add("1,000 drop-ins / 10", toTen(dropIns.data, "1000"), 7);
  if (unsatisfied) add("unsatisfied start / by hand", byHand(unsatisfied.data, PORTSHIM), 1.5);
  if (podman) add("podman run, with portshim / without", ratios(podman.data, WITH, WITHOUT), 1.02);
  if (memory) {
    const left = Object.entries(memory.data).filter(([name]) => name.startsWith(PORTSHIM));
    add(
      "processes that portshim leaves",
      left.map(([, { others }]) => others),
      0,
    );
    const bare = memory.data[SERVER]?.kilobytes ?? [];
    for (const [name, { kilobytes }] of left) {
      add(`memory after ${name} / the server's alone`, ratios({ kilobytes, bare }, "kilobytes", "bare"), 1.01);
    }
  }
  for (const [name, { unpacked }] of Object.entries(bytes?.data ?? {})) {
    if (name.startsWith("layer")) add(`${name}, kB`, [unpacked / 1000], 200);
  }
  return found;
}

/** Whether it is exceeded. */
export const missed = ({ value, most }: Floor): boolean => !(value <= most);

/** How much longer a start takes with this many drop-ins than with 10, both by tini's time. */
export function toTen(data: Readonly<Record<string, Times>>, count: string): number[] {
  const times = Object.fromEntries([count, "10"].map((each) => [each, ratios(data[each] ?? {}, PORTSHIM, TINI)]));
  return ratios(times, count, "10");
}

/** A time by the sum of what a person would run instead: the host's command, then an empty Node. */
export function byHand(times: Times, name: string): number[] {
  const [command, node] = [series(times, BY_HAND), series(times, NODE)];
  const sum = command.map((value, round) => value + (node[round] as number));
  return ratios({ value: series(times, name), sum }, "value", "sum");
}
