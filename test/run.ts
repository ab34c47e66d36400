import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./need.js";
import { SKIPPED } from "./suite.js";

/**
 * Runs every test file, or those whose path contains one of the arguments, a process each, one after the other: they
 * measure times and start hosts. Ends with what was skipped and why, then one line for programs.
 */
async function main(filters: readonly string[]): Promise<number> {
  const files = readdirSync(__dirname, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.js"))
    // tsc does not remove the output of a file that has moved.
    .filter((file) => existsSync(join(ROOT, "test", file.replace(/js$/, "ts"))))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const broken: string[] = [];
  const skipped: string[] = [];
  for (const file of files) {
    const started = process.hrtime.bigint();
    console.log(`\n── ${file.replace(/\.js$/, "")}`);
    const { status, output } = await run(join(__dirname, file));
    const total = count(output, "Total");
    const passed = count(output, "Passed");
    totals.passed += passed;
    totals.failed += total - passed;
    for (const line of output.split("\n").filter((text) => text.startsWith(SKIPPED))) {
      skipped.push(line.slice(SKIPPED.length));
    }
    // A file that ends early shows it only by its status.
    if (status !== 0) broken.push(file);
    if (status !== 0 && total === passed) totals.failed++;
    console.log(`   ${(Number(process.hrtime.bigint() - started) / 1e9).toFixed(1)} s`);
  }
  totals.skipped = skipped.length;
  for (const file of broken) console.log(`\nFAILED ${file}`);
  if (skipped.length > 0) {
    console.log(`\n${"!".repeat(78)}\nNOT RUN on this machine:`);
    for (const line of skipped) console.log(`  ${line}`);
    console.log("!".repeat(78));
  }
  console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  return broken.length > 0 || totals.passed === 0 ? 1 : 0;
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
    child.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      output += chunk;
    });
    child.on("close", (status) => resolve({ status: status ?? 1, output }));
  });
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
