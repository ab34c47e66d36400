import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { floors, missed } from "../../bench/build/report/floor.js";
import { digest, framed, plots } from "../../bench/build/report/plot.js";
import {
  BRIDGE,
  BUILD,
  BY_HAND,
  DRY_RUN,
  EXEC,
  type Machine,
  NODE,
  ONE,
  PORTSHIM,
  type Results,
  SERVER,
  TINI,
  TWENTY,
  TWENTY_SATISFIED,
  WITH,
  WITHOUT,
  WRAP,
} from "../../bench/build/report/results.js";
import { interval, quantile, ratios, summary } from "../../bench/build/report/statistics.js";
import { NAMES, withTables } from "../../bench/build/report/table.js";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("what the bench makes of what it measured");

test("quantiles are interpolated, whatever the order", () => {
  const values = [4, 1, 3, 2];
  assert.equal(
    [0, 0.25, 0.5, 1].map((share) => quantile(values, share)),
    [1, 1.75, 2.5, 4],
  );
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("ratios are of the same round, and of nothing else", () => {
  const times = { a: [2, 30, 4], b: [1, 10, 4], c: [1] };
  assert.equal(ratios(times, "a", "b"), [2, 3, 1]);
  assert.throws(() => ratios(times, "a", "c"), /a has 3 rounds, c 1/);
  assert.throws(() => ratios(times, "a", "d"), /nothing was measured of d/);
});

test("the interval contains the median, is narrower than the quartiles, and the same each time", () => {
  const values = Array.from({ length: 101 }, (_, i) => (i * 37) % 101);
  const [lower, upper] = interval(values);
  assert.equal(summary(values), { median: 50, quartiles: [25, 75] });
  assert.ok(25 < lower && lower < 50 && 50 < upper && upper < 75, `${lower}–${upper}`);
  assert.equal(interval(values), [lower, upper]);
  assert.equal(interval([7, 7, 7]), [7, 7]);
});

const machine: Machine = {
  architecture: "x86_64",
  processors: 2,
  kernel: "6.18",
  system: "Debian",
  versions: { tini: "0.19" },
  variables: 35,
  dropIns: 4,
};
const starts = { [TINI]: [10, 20, 10], [PORTSHIM]: [5, 10, 6], [NODE]: [200, 400, 210] };
const FIXED: Results = {
  satisfied: { machine, data: starts },
  dropIns: { machine, data: { "1000": { ...starts, [PORTSHIM]: [40, 90, 41] }, "10": starts } },
  variables: { machine, data: { "10": starts } },
  architecture: { machine, data: { x86_64: { [EXEC]: [5, 5, 5], [PORTSHIM]: [6, 6, 6] } } },
  memory: {
    machine,
    data: { [SERVER]: { kilobytes: [170, 172], others: 0 }, [PORTSHIM]: { kilobytes: [170, 172], others: 1 } },
  },
  unsatisfied: {
    machine,
    data: { [BRIDGE]: [10, 10], [BY_HAND]: [40, 40], [NODE]: [60, 60], [DRY_RUN]: [100, 100], [PORTSHIM]: [150, 154] },
  },
  together: { machine, data: { [ONE]: [100, 100], [TWENTY]: [150, 160], [TWENTY_SATISFIED]: [50, 50] } },
  podman: { machine, data: { [WITHOUT]: [1000, 1000, 1000], [WITH]: [1000, 1010, 1020] } },
  wrap: { machine, data: { times: { [BUILD]: [10, 10], [WRAP]: [5, 5] }, added: { [BUILD]: 2000, [WRAP]: 1000 } } },
  bytes: { machine, data: { "layer for amd64": { unpacked: 200_001, packed: 70_000 } } },
};
const EMPTY_PAGE = ["machine", "floors", ...NAMES]
  .map((name) => `<!-- ${name} -->\n\n<!-- /${name} -->\n`)
  .join("kept\n");

test("a floor is missed if the median is above it", () => {
  assert.equal(
    floors(FIXED).map((floor) => [floor.what, Number(floor.value.toFixed(3)), missed(floor)]),
    [
      ["portshim / tini -s", 0.5, false],
      ["portshim / node -e 0", 0.025, false],
      ["1,000 drop-ins / 10", 8, true],
      ["unsatisfied start / by hand", 1.52, true],
      ["podman run, with portshim / without", 1.01, false],
      ["processes that portshim leaves", 1, true],
      ["memory after portshim / the server's alone", 1, false],
      ["layer for amd64, kB", 200.001, true],
    ],
  );
  assert.ok(missed({ what: "", value: quantile([], 0.5), interval: [0, 0], most: 1 }), "nothing measured is not met");
});

test("the tables are put between their marks, and all else is kept", () => {
  const page = withTables(EMPTY_PAGE, FIXED);
  assert.is(page.split("kept\n").length, NAMES.length + 2);
  for (const row of [
    "\nx86_64, 2 processors, Linux 6.18, Debian; tini 0.19; 35 environment variables and 4 sysctl.d files, the machine's own.\n",
    "\n| portshim | 0.50 (0.50–0.55) |\n",
    "\n| 1,000 | 4.10 (4.05–4.30) | 8.00 (7.42–8.50) |\n",
    "\n| `portshim --start=80 -- true` | 1.52 (1.51–1.53) |\n",
    "\n| with portshim, nothing to do | 1.010 (1.005–1.015) |\n",
    "\n| `portshim-images wrap` | 0.50 (0.50–0.50) | 1,000 |\n",
    "\n| portshim | 171 (171–172) | 1 |\n",
    "\n| layer for amd64 | 200,001 | 70,000 |\n",
    " | 7.000 | MISSED |\n",
  ]) {
    assert.ok(page.includes(row), `${row}\n${page}`);
  }
  assert.is(withTables(page, FIXED), page);
  assert.throws(() => withTables("", FIXED), /the page has no place for machine/);
});

test("a plot's file has its title, its description, and colours for both themes", () => {
  const plot = plots(FIXED).find(({ name }) => name === "unsatisfied");
  assert.ok(plot);
  const svg = framed(
    '<svg xmlns="http://www.w3.org/2000/svg" width="1"><g role="graphics-symbol" aria-label="x"/></svg>',
    { ...plot, title: "a < b & c" },
  );
  assert.match(
    svg,
    /^<svg xmlns="[^"]*" width="1" role="img" aria-labelledby="unsatisfied-title unsatisfied-description" /,
  );
  assert.match(svg, '<title id="unsatisfied-title">a &lt; b &amp; c</title>');
  assert.match(svg, "by hand: an empty Node 0.60; by hand: reaching the host 0.10; by hand: pkexec and sysctl 0.30; ");
  assert.match(svg, "@media (prefers-color-scheme: dark)");
  assert.match(svg, /<g\/><\/svg>\n$/);
});

test("the same data makes the same plots", () => {
  assert.equal(plots(FIXED).map(digest), plots(structuredClone(FIXED)).map(digest));
});

// bench/page.ts draws them, by a library that is not installed for the tests.
const measured: Results = JSON.parse(readFileSync(join(ROOT, "bench", "results.json"), "utf8"));
const page = readFileSync(join(ROOT, "bench", "RESULTS.md"), "utf8");

test("bench/RESULTS.md has what bench/results.json says, for every measurement", () => {
  assert.equal(Object.keys(measured).sort(), [...NAMES].sort());
  assert.is(withTables(page, measured), page, "npm run bench:plot");
});

for (const plot of plots(measured)) {
  test(`bench/plots/${plot.name}.svg was drawn from bench/results.json`, () => {
    const svg = readFileSync(join(ROOT, "bench", "plots", `${plot.name}.svg`), "utf8");
    assert.match(svg, `data-plot="${digest(plot)}"`, "npm run bench:plot");
    assert.match(svg, /<title[^>]*>[^<]{10,}<\/title>\n<desc[^>]*>[^<]{20,}<\/desc>/);
    assert.ok(svg.length <= 60_000, `${svg.length} bytes`);
    assert.not.match(svg, /NaN|Infinity|undefined/);
    assert.match(page, `](plots/${plot.name}.svg)`);
  });
}

test.run();
