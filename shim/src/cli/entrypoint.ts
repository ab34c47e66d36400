import { fstatSync } from "node:fs";
import { dropFor, ensure, preview, type Task } from "../attempt/ensure.js";
import type { Query } from "../facts/facts.js";
import { PortshimError } from "../failure.js";
import { isSatisfied, liveThreshold } from "../here/threshold.js";
import { LAUNCHER, type Reply, send } from "../launcher/reply.js";
import { printable } from "../text.js";
import { type Arguments, COMMAND_NAMES, type CommandName, parse } from "./arguments.js";
import type { Command } from "./command.js";
import { logger, print, say } from "./output.js";
import { STATUS, statusOf } from "./status.js";

/** How a run ends: with a reply for the launcher, which then starts the command, or with a status of its own. */
type Outcome = { readonly reply: Reply } | { readonly status: number };

/**
 * The helper's work: does what `portshim argument…` asks for, tells the launcher, and ends this process. `argv` is what the
 * launcher gives: "1" if the command will hold CAP_NET_BIND_SERVICE, else "0"; then the arguments of portshim.
 */
export async function entrypoint(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<never> {
  const [holdsCapability, ...words] = argv;
  if (!isSocket(LAUNCHER)) {
    say("main.js is started by portshim, not by hand");
    process.exit(STATUS.usage);
  }
  const stopping = new AbortController();
  const stop = () => stopping.abort(STATUS.terminated);
  process.on("SIGTERM", stop);
  // The launcher sends TERM for each of the others that it does not itself ignore (nohup): only it knows which.
  for (const name of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1"] as const) process.on(name, () => {});
  const context: Context = { holdsCapability: holdsCapability === "1", env, signal: stopping.signal };
  const running = dispatch(words, context).catch((error) => failed(error, words, stopping.signal));
  watchLauncher(stop);
  const outcome = await running;
  if ("status" in outcome) process.exit(outcome.status);
  send(outcome.reply);
  // The launcher waits for our end, and Node would take its time.
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => {});
}

/** Calls `gone` when the launcher is gone: nobody waits for a prompt then. */
function watchLauncher(gone: () => void): void {
  const { Socket } = require("node:net");
  new Socket({ fd: LAUNCHER })
    .on("error", () => {})
    .on("close", gone)
    .resume()
    .unref();
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

/** What comes from the launcher. */
type Context = Pick<Query, "env" | "holdsCapability"> & { readonly signal: AbortSignal };

async function dispatch(words: readonly string[], context: Context): Promise<Outcome> {
  if (isCommand(words[0])) return runCommand(words[0], words.slice(1), context);
  return runStart(parse(words, context.env), context);
}

function isCommand(word: string | undefined): word is CommandName {
  return COMMAND_NAMES.some((name) => name === word);
}

async function runCommand(name: CommandName, words: readonly string[], context: Context): Promise<Outcome> {
  const { options } = parse(words, context.env, name);
  const command = commands()
    .find((entry) => entry.name === name)
    ?.load() as Command;
  if (options.help) return printed(help().commandHelp(name, command.about, command.statuses));
  const status = await command.run({ ...context, options, log: logger(options), print });
  context.signal.throwIfAborted();
  return { status };
}

function failed(error: unknown, words: readonly string[], signal: AbortSignal): Outcome {
  if (signal.aborted) return { status: signal.reason as number };
  if (!(error instanceof PortshimError)) {
    say(`internal error (please report it): ${printable(String(error))}`);
    return { status: STATUS.software };
  }
  const more = isCommand(words[0]) ? [] : report().restarts(error);
  say([error.message, error.remedy, ...more].filter((line) => line !== "").join("\n"));
  if (error.isRefusal) send({ refused: true });
  return { status: statusOf(error) };
}

async function runStart({ options, command }: Arguments, context: Context): Promise<Outcome> {
  if (options.help) return printed(help().help(commands(), require("../plan/route.js").ROUTES));
  if (options.version) return printed(`portshim ${require("./version.js").VERSION}\n`);
  const drop = dropFor(options);
  const task: Task = { ...context, options, log: logger(options), ownTerminal: true };
  const previewing = preview({ ...task, thorough: options.dryRun });
  // Loaded while the host is asked.
  const { requireExecutable } = require("./executable.js");
  const found = await previewing;
  if (options.dryRun) {
    const { facts, plan } = found;
    print(`${report().dryRun(facts, plan)}\n`);
    const isPossible = plan.satisfied || plan.steps.some(({ usable }) => usable);
    return { status: isPossible ? STATUS.ok : STATUS.unavailable };
  }
  // Before anybody is asked for it.
  requireExecutable(command[0] ?? "", context.env);
  await ensure(task, found);
  context.signal.throwIfAborted();
  if (!drop) return { reply: { start: true } };
  const keepsPort = !isSatisfied(liveThreshold(), found.facts.wanted.value) && drop.held.has("net_bind_service");
  return { reply: { start: true, user: drop.user, keepsPort } };
}

function printed(text: string): Outcome {
  print(text);
  return { status: STATUS.ok };
}

function commands() {
  return require("./commands.js").COMMANDS;
}

function help() {
  return require("./help.js");
}

/** Loaded when something has to be said. */
function report() {
  return require("../report/report.js");
}
