import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { architecture } from "./measure/architecture.js";
import { type Bench, startBench } from "./measure/bench.js";
import { bytes } from "./measure/bytes.js";
import { dropIns } from "./measure/dropins.js";
import { thisMachine } from "./measure/machine.js";
import { memory } from "./measure/memory.js";
import { podman } from "./measure/podman.js";
import { satisfied } from "./measure/satisfied.js";
import { together } from "./measure/together.js";
import { unsatisfied } from "./measure/unsatisfied.js";
import { variables } from "./measure/variables.js";
import { wrap } from "./measure/wrap.js";
import { makePage, RESULTS } from "./page.js";
import { floors, missed } from "./report/floor.js";
import type { Data, Name, Results } from "./report/results.js";
import { floorTable, NAMES, tableOf } from "./report/table.js";

// npm run bench [PERCENT] [NAME…]: measures everything, or what is named, with this share of the usual rounds, and makes
// results.json, RESULTS.md's tables and the plots. Needs root on Linux, gcc, musl-gcc, and the Debian packages of
// test/packages.txt, test/lab/packages.txt, and tini, dumb-init, catatonit, gosu. Each in network and mount namespaces of
// its own, or in the tests' lab. The environment and the drop-ins are this machine's.

const MEASUREMENTS: { readonly [N in Name]: (bench: Bench) => Data[N] | Promise<Data[N]> } = {
  satisfied,
  dropIns,
  variables,
  architecture,
  memory,
  unsatisfied,
  together,
  podman,
  wrap,
  bytes,
};

async function main(words: readonly string[]): Promise<number> {
  const [percent = "100"] = words.filter((word) => /^\d+$/.test(word));
  const named = words.filter((word) => !/^\d+$/.test(word));
  const unknown = named.find((name) => !(name in MEASUREMENTS));
  if (unknown !== undefined) throw new Error(`there is no measurement ${unknown}, only ${NAMES.join(", ")}`);
  withoutNpm();
  const machine = thisMachine();
  const bench = startBench(Number(percent) / 100);
  let results: Results = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : {};
  try {
    for (const name of named.length > 0 ? (named as Name[]) : NAMES) {
      console.log(`\nMeasuring ${name} …`);
      const started = Date.now();
      const data = await MEASUREMENTS[name](bench);
      console.log(`${((Date.now() - started) / 1000).toFixed(0)} s:\n\n${tableOf(name, data as never)}`);
      results = { ...results, [name]: { machine, data } };
      // At once: a later one may fail.
      writeFileSync(RESULTS, `${JSON.stringify(results)}\n`);
    }
  } finally {
    await bench.end();
  }
  await makePage();
  console.log(`\n${floorTable(results)}`);
  return floors(results).some(missed) ? 1 : 0;
}

/** Takes out of the environment what npm put there: it is no user's. */
function withoutNpm(): void {
  for (const name of Object.keys(process.env)) {
    if (/^(npm_.*|INIT_CWD|NODE|COLOR|EDITOR)$/i.test(name)) delete process.env[name];
  }
  const folders = process.env.PATH?.split(":") ?? [];
  process.env.PATH = folders.filter((folder) => !/\/(node_modules\/\.bin|node-gyp-bin)$/.test(folder)).join(":");
}

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error) => {
    console.error(error);
    process.exitCode = 2;
  },
);
