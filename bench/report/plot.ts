import { createHash } from "node:crypto";
import { byHand } from "./floor.js";
import { BRIDGE, BY_HAND, DRY_RUN, NODE, PORTSHIM, type Results, TINI, type Times, WITH, WITHOUT } from "./results.js";
import { interval, median, ratios, type Summary, summary } from "./statistics.js";
import { counts, fastestFirst } from "./table.js";

/** A plot: a specification of Vega-Lite, and what people read who do not see it. */
export interface Plot {
  /** Its file is this with `.svg`. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly specification: object;
}

// Strong enough on white and on black.
const OURS = "#d9772b";
const OTHERS = "#4a8ac2";
const THIRD = "#4c9f70";
const FOURTH = "#9a7fc7";
/** Of the text: the file says what it is, in a light and in a dark theme. */
const TEXT = "currentColor";

/** The plots of what was measured. */
export function plots(results: Results): Plot[] {
  const { satisfied, dropIns, variables, unsatisfied, podman } = results;
  const found: Plot[] = [];
  if (satisfied) found.push(satisfiedPlot(satisfied.data));
  if (dropIns && variables) found.push(numberPlot(dropIns.data, variables.data));
  if (unsatisfied) found.push(unsatisfiedPlot(unsatisfied.data));
  if (podman) found.push(podmanPlot(podman.data));
  return found;
}

/** Identifies what a plot shows, so that a file that was not made anew is noticed. */
export function digest(plot: Plot): string {
  return createHash("sha256").update(JSON.stringify(plot)).digest("hex").slice(0, 16);
}

/** Vega's SVG with the title, the description, the digest, and colours for a light and a dark theme. */
export function framed(svg: string, plot: Plot): string {
  const { name, title, description } = plot;
  const end = svg.indexOf(">");
  // Vega's own words for screen readers, mark by mark, say less than the description.
  const silent = svg.slice(end + 1).replace(/ (role|aria-[a-z]+)="[^"]*"/g, "");
  const marks = `role="img" aria-labelledby="${name}-title ${name}-description" data-plot="${digest(plot)}"`;
  return `${svg.slice(0, end)} ${marks}>
<title id="${name}-title">${escaped(title)}</title>
<desc id="${name}-description">${escaped(description)}</desc>
<style>
svg { color: #24292f; background: #ffffff }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }
</style>
${silent}
`;
}

function satisfiedPlot(times: Times): Plot {
  const rows = fastestFirst(times, TINI).map((name) => ({ name, ...row(summary(ratios(times, name, TINI))) }));
  const title = "Start of true, nothing to do: time by that of tini -s";
  return {
    name: "satisfied",
    title,
    description: `Medians: ${rows.map(({ name, median }) => `${name} ${median.toFixed(2)}`).join(", ")}.`,
    specification: {
      ...base(title, "Medians and quartiles, logarithmic"),
      width: 420,
      height: { step: 24 },
      data: { values: rows },
      encoding: {
        y: { field: "name", type: "nominal", sort: null, axis: { title: null } },
        color: {
          condition: { test: `indexof(datum.name, '${PORTSHIM}') === 0`, value: OURS },
          value: OTHERS,
        },
      },
      layer: [
        {
          mark: { type: "rule", strokeWidth: 4, opacity: 0.5 },
          encoding: {
            x: { field: "lower", type: "quantitative", ...logarithmic("× tini -s") },
            x2: { field: "upper" },
          },
        },
        {
          mark: { type: "point", filled: true, size: 60, opacity: 1 },
          encoding: { x: { field: "median", type: "quantitative" } },
        },
        {
          mark: { type: "text", align: "left", dx: 7, dy: -7, fontSize: 10 },
          encoding: {
            x: { field: "median", type: "quantitative" },
            text: { field: "median", format: ".2f" },
            color: { value: TEXT },
          },
        },
      ],
    },
  };
}

function numberPlot(dropIns: Readonly<Record<string, Times>>, variables: Readonly<Record<string, Times>>): Plot {
  const rows = (data: Readonly<Record<string, Times>>) =>
    counts(data).map((count) => ({
      count: Number(count).toLocaleString("en"),
      ...row(summary(ratios(data[count] ?? {}, PORTSHIM, TINI))),
    }));
  const panels = [
    { what: "sysctl.d files", values: rows(dropIns) },
    { what: "environment variables", values: rows(variables) },
  ];
  const title = "portshim by the number of sysctl.d files and of variables, nothing to do";
  const said = panels.map(
    ({ what, values }) => `${what}: ${values.map(({ count, median }) => `${count}, ${median.toFixed(2)}`).join("; ")}`,
  );
  return {
    name: "number",
    title,
    description: `Times of tini -s in the same round. By number of ${said.join(". By number of ")}.`,
    specification: {
      ...base(title, "Medians and quartiles"),
      hconcat: panels.map(({ what, values }, at) => ({
        width: 220,
        height: 180,
        data: { values },
        encoding: { x: { field: "count", type: "ordinal", sort: null, axis: { title: what, labelAngle: 0 } } },
        layer: [
          {
            mark: { type: "line", color: OURS, point: { color: OURS, filled: true, size: 60 } },
            encoding: {
              y: {
                field: "median",
                type: "quantitative",
                axis: { title: at === 0 ? "× tini -s" : null },
                scale: { zero: true },
              },
            },
          },
          {
            mark: { type: "rule", color: OURS, strokeWidth: 4, opacity: 0.5 },
            encoding: { y: { field: "lower", type: "quantitative" }, y2: { field: "upper" } },
          },
        ],
      })),
    },
  };
}

function unsatisfiedPlot(times: Times): Plot {
  const [bridge, command, node, dryRun, portshim] = [BRIDGE, BY_HAND, NODE, DRY_RUN, PORTSHIM].map((name) =>
    median(byHand(times, name)),
  ) as [number, number, number, number, number];
  const reach = "reaching the host";
  const set = "pkexec and sysctl";
  const empty = "an empty Node";
  const question = "what the host is, and the plan";
  const parts = [
    { start: "by hand", part: empty, value: node },
    { start: "by hand", part: reach, value: bridge },
    { start: "by hand", part: set, value: command - bridge },
    { start: "portshim", part: empty, value: node },
    { start: "portshim", part: question, value: dryRun - node },
    { start: "portshim", part: set, value: portshim - dryRun },
  ].map((each, order) => ({ ...each, order }));
  const totals = [{ start: "portshim", ...row(summary(byHand(times, PORTSHIM))) }];
  const title = "Unsatisfied start in a toolbox, by its parts";
  return {
    name: "unsatisfied",
    title,
    description: parts.map(({ start, part, value }) => `${start}: ${part} ${value.toFixed(2)}`).join("; "),
    specification: {
      ...base(title, "Medians; parts are differences of whole programs"),
      width: 460,
      height: { step: 46 },
      layer: [
        {
          data: { values: parts },
          mark: { type: "bar", height: 24 },
          encoding: {
            y: { field: "start", type: "nominal", sort: null, axis: { title: null } },
            x: { field: "value", type: "quantitative", stack: "zero", axis: { title: "× by hand" } },
            order: { field: "order" },
            color: {
              field: "part",
              type: "nominal",
              scale: { domain: [empty, reach, question, set], range: [OTHERS, FOURTH, OURS, THIRD] },
              legend: { orient: "bottom", title: null, columns: 2, labelLimit: 400 },
            },
          },
        },
        {
          data: { values: totals },
          mark: { type: "rule", color: TEXT, strokeWidth: 2 },
          encoding: {
            y: { field: "start", type: "nominal", sort: null },
            x: { field: "lower", type: "quantitative" },
            x2: { field: "upper" },
          },
        },
      ],
    },
  };
}

function podmanPlot(times: Times): Plot {
  const values = ratios(times, WITH, WITHOUT);
  const middle = median(values);
  const [lower, upper] = interval(values);
  const title = "podman run to the first answer, with portshim by without";
  return {
    name: "podman",
    title,
    description: `${values.length} pairs: median ${middle.toFixed(3)}, with 95 % confidence from ${lower.toFixed(3)} to ${upper.toFixed(3)}.`,
    specification: {
      ...base(title, "Each tick is a pair; the point is the median, with its 95 % interval"),
      width: 460,
      height: 60,
      layer: [
        {
          data: { values: values.map((value) => ({ value: rounded(value) })) },
          mark: { type: "tick", color: OTHERS, opacity: 0.5, thickness: 2, size: 30 },
          encoding: {
            x: { field: "value", type: "quantitative", scale: { zero: false }, axis: { title: "× without portshim" } },
          },
        },
        {
          data: { values: [{ value: 1 }] },
          mark: { type: "rule", color: TEXT, strokeDash: [3, 3] },
          encoding: { x: { field: "value", type: "quantitative" } },
        },
        {
          data: { values: [{ lower: rounded(lower), upper: rounded(upper) }] },
          mark: { type: "rule", color: OURS, strokeWidth: 5 },
          encoding: { x: { field: "lower", type: "quantitative" }, x2: { field: "upper" }, y: { value: 30 } },
        },
        {
          data: { values: [{ value: rounded(middle) }] },
          mark: { type: "point", filled: true, size: 90, color: OURS, opacity: 1 },
          encoding: { x: { field: "value", type: "quantitative" }, y: { value: 30 } },
        },
      ],
    },
  };
}

function base(text: string, subtitle: string) {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: null,
    padding: 12,
    title: { text, subtitle, anchor: "start", color: TEXT, subtitleColor: TEXT, offset: 12 },
    config: {
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: {
        labelColor: TEXT,
        titleColor: TEXT,
        domainColor: TEXT,
        tickColor: TEXT,
        gridColor: TEXT,
        gridOpacity: 0.15,
        labelLimit: 400,
        titleFontWeight: "normal",
      },
      legend: { labelColor: TEXT, titleColor: TEXT },
      title: { fontSize: 14, subtitleFontSize: 11 },
    },
  };
}

const logarithmic = (title: string) => ({
  scale: { type: "log" },
  axis: { title, values: [0.2, 0.5, 1, 2, 5, 10, 20, 50], format: "~g" },
});

function row({ median, quartiles: [lower, upper] }: Summary) {
  return { median: rounded(median), lower: rounded(lower), upper: rounded(upper) };
}

/** The last digits of a quotient say nothing, and make a file that is the same look different. */
const rounded = (value: number) => Number(value.toPrecision(5));

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
