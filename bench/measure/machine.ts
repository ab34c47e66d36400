import { readFileSync } from "node:fs";
import { availableParallelism, machine, release } from "node:os";
import type { Machine } from "../report/results.js";
import { NODE26, run } from "./bench.js";
import { machinesDropIns } from "./dropins.js";

const PACKAGES = ["dash", "tini", "dumb-init", "catatonit", "gosu"];

/** This machine, as far as the measured times depend on it. */
export function thisMachine(): Machine {
  const [, system = "an unknown system"] = readFileSync("/etc/os-release", "utf8").match(/^PRETTY_NAME="(.*)"$/m) ?? [];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the fields are dpkg-query's.
  const query = ["dpkg-query", "--show", "--showformat=${Package} ${source:Upstream-Version}\n", ...PACKAGES];
  const packages = run(query)
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  return {
    architecture: machine(),
    processors: availableParallelism(),
    kernel: release().split(".", 2).join("."),
    system,
    versions: { ...Object.fromEntries(packages), Node: run([NODE26, "--version"]).trim().slice(1) },
    variables: Object.keys(process.env).length,
    dropIns: machinesDropIns(),
  };
}
