import { gather } from "../facts/facts.js";
import { planFor } from "../plan/plan.js";
import { dropTo } from "../protocol/drop.js";
import { describe, type Findings, paletteFor } from "../report/check.js";
import { json } from "../text.js";
import { parse } from "./arguments.js";
import type { Command, Invocation } from "./command.js";
import { find } from "./findings.js";
import { STATUS } from "./status.js";

/** `portshim check`: what portshim sees and would do. */
export const check: Command = {
  about: "Shows what portshim sees here and what it would do. Changes nothing.",
  statuses: {
    [STATUS.ok]: "nothing to do",
    [STATUS.toDo]: "something to do, and a way to do it",
    [STATUS.noWay]: "no way from here; or, with --bind, another process uses a port",
    [STATUS.usage]: "wrong options, or no such user",
    [STATUS.unavailable]: "no Node.js 20 or later, or the output cannot be written",
    [STATUS.noPermission]: "--user: portshim does not run as root, or lacks a capability that this needs",
  },
  run,
};

async function run({ options, env, holdsCapability, signal, print }: Invocation): Promise<number> {
  // A start reads more variables than we do, and refuses those that are invalid.
  parse(["--dry-run"], env);
  // So does it refuse a user that there is not, or that we cannot become.
  if (options.user !== undefined) dropTo(options.user);
  const { start, startBy } = options;
  const facts = await gather({ start, startBy, env, holdsCapability, signal, thorough: true });
  const findings = await find(facts, planFor(facts, options.via), options.bind);
  if (options.json) print(`${json(findings)}\n`);
  else print(describe(findings, paletteFor(process.stdout.isTTY === true, env)));
  return status(findings);
}

/** portshim cannot help with a port that another process uses. */
function status({ verdict, ports }: Findings): number {
  const mended = (error: string | null) => error === null || (error === "EACCES" && verdict === "possible");
  const lost = ports?.some(({ error, holders }) => !mended(error) || holders !== null) ?? false;
  if (verdict === "impossible" || lost) return STATUS.noWay;
  return verdict === "possible" ? STATUS.toDo : STATUS.ok;
}
