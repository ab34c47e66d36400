import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Data, EXEC, PORTSHIM } from "../report/results.js";
import { type Bench, run, SHIM } from "./bench.js";
import { TRUE } from "./satisfied.js";
import { type Commands, timer, timeSatisfied } from "./timer.js";

const LAUNCHERS = join(SHIM, "launcher");

/**
 * A satisfied start against the least that an entrypoint can do, on this machine and, under qemu, on the other: what they
 * become is this machine's, and both pay for qemu.
 */
export function architecture(bench: Bench): Data["architecture"] {
  run([join(LAUNCHERS, "build.sh"), "x86_64", "aarch64"]);
  const program = timer(bench);
  const measured: Record<string, Data["satisfied"]> = {};
  const machines: [name: string, machine: string, runner: readonly string[]][] = [
    ["x86_64", "x86_64", []],
    ["aarch64, under qemu-aarch64-static", "aarch64", ["qemu-aarch64-static"]],
  ];
  for (const [name, machine, runner] of machines) {
    const commands: Commands = {
      [EXEC]: [...runner, execProgram(bench, machine), TRUE],
      [PORTSHIM]: [...runner, join(LAUNCHERS, `portshim-${machine}`), "--start=80", "--", TRUE],
    };
    measured[name] = timeSatisfied(program, commands, bench.rounds(200));
  }
  return measured;
}

/** A program that execs its arguments, compiled with the launcher's own musl. */
function execProgram({ folder }: Bench, machine: string): string {
  const source = join(folder, "exec.c");
  writeFileSync(source, "#include <unistd.h>\nint main(int n, char **v) { return n < 2 || execv(v[1], v + 1); }\n");
  const program = join(folder, `exec-${machine}`);
  const options = ["-Os", "-static", "-s", "-o", program, source];
  if (machine === "x86_64") run(["musl-gcc", ...options]);
  else {
    const musl = join(LAUNCHERS, `.musl-${machine}`);
    const specs = readFileSync(join(musl, "usr/lib", `${machine}-linux-musl`, "musl-gcc.specs"), "utf8");
    writeFileSync(join(folder, "specs"), specs.replaceAll("/usr/", `${musl}/usr/`));
    run([`${machine}-linux-gnu-gcc`, `-specs=${join(folder, "specs")}`, ...options]);
  }
  return program;
}
