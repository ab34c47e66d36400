import { constants } from "node:os";
import { parseArgs } from "node:util";
import { printable } from "portshim/internal";
import type { Command } from "./command.js";
import { COMMANDS, COMMON } from "./commands.js";
import { connect } from "./engine.js";
import { ImagesError } from "./failure.js";
import { HELP, usage } from "./help.js";
import { progressOn } from "./progress.js";

const SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

async function main(argv: readonly string[]): Promise<number> {
  const stopping = new AbortController();
  // The first signal cleans up; a second one ends us at once.
  for (const name of SIGNALS) process.once(name, () => stopping.abort(name));
  // The reader of our output may have gone.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  try {
    await run(argv, stopping.signal);
    return 0;
  } catch (error) {
    const failure = error as Partial<ImagesError>;
    const sentence = error instanceof ImagesError ? error.message : printable(String(failure.message ?? error));
    process.stderr.write(`portshim-images: ${sentence}.${failure.remedy ? ` ${failure.remedy}` : ""}\n`);
    if (failure.code === "interrupted") return 128 + constants.signals[stopping.signal.reason as "SIGINT"];
    return failure.code === "bad-usage" ? 2 : 1;
  }
}

async function run([name = "--help", ...rest]: readonly string[], signal: AbortSignal): Promise<void> {
  const say = (text: string) => process.stdout.write(`${text}\n`);
  if (name === "--help" || name === "-h" || rest.includes("--help")) return void process.stdout.write(HELP);
  if (name === "--version") return void say((require("../package.json") as { version: string }).version);
  const commands: Readonly<Record<string, Command>> = COMMANDS;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) {
    const known = Object.keys(COMMANDS).join(", ");
    throw new ImagesError("bad-usage", `unknown command "${printable(name)}"; known: ${known}`);
  }
  const { values, positionals } = parse(command, rest);
  const [least, most] = command.operands;
  if (positionals.length < least || positionals.length > most) {
    throw new ImagesError("bad-usage", `write portshim-images ${usage(name, command)}`);
  }
  const { host, ...options } = values;
  const engine = await connect(host as string | undefined, process.env, signal);
  await command.run({ engine, operands: positionals, options, say, progress: progressOn(process.stderr) });
}

function parse({ options }: Command, args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: { ...options, host: COMMON.host }, allowPositionals: true });
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument…": the first sentence is enough.
    const [sentence = ""] = (error as Error).message.split(/\. |\n/);
    throw new ImagesError("bad-usage", `${printable(sentence)}; see portshim-images --help`);
  }
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
