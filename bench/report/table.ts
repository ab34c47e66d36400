import { byHand, floors, missed, toTen } from "./floor.js";
import {
  BRIDGE,
  BUILD,
  BY_HAND,
  type Data,
  DRY_RUN,
  EXEC,
  type Machine,
  type Name,
  NODE,
  ONE,
  PORTSHIM,
  type Results,
  SERVER,
  TINI,
  type Times,
  TWENTY,
  TWENTY_SATISFIED,
  WITH,
  WITHOUT,
  WRAP,
} from "./results.js";
import { median, ratios, summary } from "./statistics.js";

/** Each measurement as Markdown. */
const TABLES: { readonly [N in Name]: (data: Data[N]) => string } = {
  satisfied: (data) =>
    table(
      ["start of `true` through", "× `tini -s`"],
      fastestFirst(data, TINI).map((name) => [
        name === "true" ? "nothing (`true` alone)" : name,
        cell(ratios(data, name, TINI)),
      ]),
    ),
  dropIns: (data) =>
    table(
      ["drop-ins in /etc/sysctl.d", "× `tini -s`", "× that of 10"],
      counts(data).map((count) => [
        number(Number(count)),
        cell(ratios(data[count] as Times, PORTSHIM, TINI)),
        cell(toTen(data, count)),
      ]),
    ),
  variables: (data) =>
    table(
      ["environment variables", "× `tini -s` with as many"],
      counts(data).map((count) => [number(Number(count)), cell(ratios(data[count] as Times, PORTSHIM, TINI))]),
    ),
  architecture: (data) =>
    table(
      ["portshim on", `× ${EXEC}`],
      Object.entries(data).map(([name, times]) => [name, cell(ratios(times, PORTSHIM, EXEC))]),
    ),
  unsatisfied: (data) =>
    table(
      ["unsatisfied start, in a toolbox, polkit says yes", "× by hand"],
      [
        [`by hand: \`${BY_HAND}\`, then \`${NODE}\``, "1.00"],
        ...[BRIDGE, BY_HAND, NODE].map((name) => [`of this: \`${name}\``, cell(byHand(data, name))]),
        [
          "`portshim --start=80 --dry-run`, which asks the host what it is and stops there",
          cell(byHand(data, DRY_RUN)),
        ],
        ["`portshim --start=80 -- true`", cell(byHand(data, PORTSHIM))],
      ],
    ),
  together: (data) =>
    table(
      ["until all have started", "× one"],
      [
        ["one, which asks", "1.00"],
        ["twenty at once, of which one asks", cell(ratios(data, TWENTY, ONE))],
        ["twenty at once, nothing to do", cell(ratios(data, TWENTY_SATISFIED, ONE))],
      ],
    ),
  podman: (data) =>
    table(
      ["`podman run` until the server answers", "× without"],
      [
        ["without portshim", "1.00"],
        ["with portshim, nothing to do", cell(ratios(data, WITH, WITHOUT), 3)],
      ],
    ),
  wrap: ({ times, added }) =>
    table(
      ["puts portshim into an image", `× \`${BUILD}\``, "bytes added"],
      [BUILD, WRAP].map((name) => [
        `\`${name}\``,
        name === BUILD ? "1.00" : cell(ratios(times, name, BUILD)),
        number(added[name] ?? Number.NaN),
      ]),
    ),
  memory: (data) =>
    table(
      ["`sleep` was started through", "kB of all that is left, shared with nobody", "processes besides `sleep`"],
      Object.entries(data).map(([name, { kilobytes, others }]) => [
        name === SERVER ? "nothing" : name,
        cell(kilobytes, 0),
        String(others),
      ]),
    ),
  bytes: (data) =>
    table(
      ["added by", "bytes of its files", "bytes to download (gzip)"],
      Object.entries(data).map(([name, { unpacked, packed }]) => [name, number(unpacked), number(packed)]),
    ),
};

/** Each measurement's name. */
export const NAMES = Object.keys(TABLES) as Name[];

/** One measurement's table. */
export function tableOf<N extends Name>(name: N, data: Data[N]): string {
  return TABLES[name](data);
}

/** The table of the floors. */
export function floorTable(results: Results): string {
  return table(
    ["floor", "is (95 % interval)", "at most", ""],
    floors(results).map((floor) => {
      const { what, value, interval, most } = floor;
      const sure = interval.map((end) => end.toFixed(3)).join("–");
      return [what, `${value.toFixed(3)} (${sure})`, most.toFixed(3), missed(floor) ? "MISSED" : "met"];
    }),
  );
}

/** The machines that these were measured on, a paragraph each, with what was measured there if there are several. */
export function machines(results: Results): string {
  const where = new Map<string, string[]>();
  for (const name of NAMES) {
    const { machine } = results[name] ?? {};
    if (machine) where.set(described(machine), [...(where.get(described(machine)) ?? []), name]);
  }
  return [...where].map(([text, names]) => (where.size > 1 ? `${names.join(", ")}: ${text}` : text)).join("\n\n");
}

/** The page with each part between `<!-- NAME -->` and `<!-- /NAME -->` made anew; all else is kept. */
export function withTables(page: string, results: Results): string {
  const parts: Record<string, string> = { machine: machines(results), floors: floorTable(results) };
  for (const name of NAMES) {
    const measured = results[name];
    if (measured) parts[name] = tableOf(name, measured.data as never);
  }
  return Object.entries(parts).reduce((text, [name, part]) => {
    const [start, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
    const [from, to] = [text.indexOf(start), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`the page has no place for ${name}`);
    return `${text.slice(0, from)}${start}\n${part}\n\n${text.slice(to)}`;
  }, page);
}

/** A median and its quartiles. */
function cell(values: readonly number[], digits = 2): string {
  const { median, quartiles } = summary(values);
  return `${median.toFixed(digits)} (${quartiles.map((value) => value.toFixed(digits)).join("–")})`;
}

/** The names, by their median ratio to one of them. */
export function fastestFirst(times: Times, to: string): string[] {
  const order = new Map(Object.keys(times).map((name) => [name, median(ratios(times, name, to))]));
  return [...order.keys()].sort((a, b) => (order.get(a) as number) - (order.get(b) as number));
}

/** The numbers that something was measured by, the smallest first. */
export function counts(data: Readonly<Record<string, Times>>): string[] {
  return Object.keys(data).sort((a, b) => Number(a) - Number(b));
}

const number = (value: number) => value.toLocaleString("en");

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

function described({ architecture, processors, kernel, system, versions, variables, dropIns }: Machine): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${architecture}, ${processors} processors, Linux ${kernel}, ${system}; ${programs.join(", ")}; ` +
    `${variables} environment variables and ${dropIns} sysctl.d files, the machine's own.`
  );
}
