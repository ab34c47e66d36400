import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./need.js";
import { SKIPPED } from "./suite.js";

/** How many files run at once that measure no times. A host that some of them boot is idle for most of its time. */
const AT_ONCE = 3;

/** It looks at what a host leaves on this machine. */
const ALONE = "lab/lab.test.js";

const totals = { passed: 0, failed: 0 };
const broken: string[] = [];
const skipped: string[] = [];

/**
 * Runs every test file, or those whose path contains one of the arguments, a process each: those in lab and sysctl three
 * at a time, the others, which measure times, one after the other. Ends with what was skipped and why, then one line for programs.
 */
async function main(filters: readonly string[]): Promise<number> {
  const files = readdirSync(__dirname, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.js"))
    // tsc does not remove the output of a file that has moved.
    .filter((file) => existsSync(join(ROOT, "test", file.replace(/js$/, "ts"))))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  const isBeside = (file: string) => /^(lab|sysctl)\//.test(file) && file !== ALONE;
  await runAll(files.filter(isBeside), AT_ONCE);
  await runAll(
    files.filter((file) => !isBeside(file)),
    1,
  );
  for (const file of broken) console.log(`\nFAILED ${file}`);
  if (skipped.length > 0) {
    console.log(`\n${"!".repeat(78)}\nNOT RUN on this machine:`);
    for (const line of skipped) console.log(`  ${line}`);
    console.log("!".repeat(78));
  }
  console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${skipped.length} skipped`);
  return broken.length > 0 || totals.passed === 0 ? 1 : 0;
}

async function runAll(files: readonly string[], atOnce: number): Promise<void> {
  const waiting = [...files];
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) await runFile(file);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function runFile(file: string): Promise<void> {
  const started = process.hrtime.bigint();
  const { status, output } = await run(join(__dirname, file));
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(`\n── ${file.replace(/\.js$/, "")}\n${output}   ${seconds.toFixed(1)} s`);
  const total = count(output, "Total");
  const passed = count(output, "Passed");
  totals.passed += passed;
  totals.failed += total - passed;
  for (const line of output.split("\n").filter((text) => text.startsWith(SKIPPED))) {
    skipped.push(line.slice(SKIPPED.length));
  }
  // A file that ends early shows it only by its status, and one whose before() fails only by what it did not run.
  if (status !== 0 || total > passed) broken.push(file);
  if (status !== 0 && total === passed) totals.failed++;
}

function count(output: string, name: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: uvu colours its summary.
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  return [...plain.matchAll(new RegExp(`^\\s+${name}:\\s+(\\d+)`, "gm"))].reduce((sum, [, n]) => sum + Number(n), 0);
}

function run(file: string): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
    child.on("close", (status) => resolve({ status: status ?? 1, output }));
  });
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
