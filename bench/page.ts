import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { framed, type Plot, plots } from "./report/plot.js";
import type { Results } from "./report/results.js";
import { withTables } from "./report/table.js";

const HERE = resolve(__dirname, "..");
/** What was measured. */
export const RESULTS = join(HERE, "results.json");
const PAGE = join(HERE, "RESULTS.md");
const PLOTS = join(HERE, "plots");

/** Makes RESULTS.md's tables and the plots from results.json. */
export async function makePage(): Promise<void> {
  const results: Results = JSON.parse(readFileSync(RESULTS, "utf8"));
  writeFileSync(PAGE, withTables(readFileSync(PAGE, "utf8"), results));
  mkdirSync(PLOTS, { recursive: true });
  for (const plot of plots(results)) writeFileSync(join(PLOTS, `${plot.name}.svg`), await drawn(plot));
}

async function drawn(plot: Plot): Promise<string> {
  // These are no CommonJS.
  const { compile } = await import("vega-lite");
  const { parse, View } = await import("vega");
  const { spec } = compile(plot.specification as Parameters<typeof compile>[0]);
  return framed(await new View(parse(spec), { renderer: "none" }).toSVG(), plot);
}

if (require.main === module) {
  makePage().catch((error) => {
    console.error(error);
    process.exitCode = 2;
  });
}
