import { fstatSync } from "node:fs";
import { PortshimError } from "../error.js";
import { gather, type Query } from "../facts/facts.js";
import { isSatisfied, liveThreshold } from "../here/threshold.js";
import { LAUNCHER, type Reply, send } from "../protocol/reply.js";
import { printable } from "../text.js";
import { type Arguments, COMMAND_NAMES, type CommandName, parse } from "./arguments.js";
import type { Command } from "./command.js";

/** How a run ends: with a reply for the launcher, which then starts the command, or with a status of its own. */
type Outcome = { readonly reply: Reply } | { readonly status: number; readonly refused?: boolean };

/**
 * The helper's work: does what `portshim argument…` asks for, tells the launcher, and ends this process. `argv` is what the
 * launcher gives: "1" if the command will hold CAP_NET_BIND_SERVICE, else "0"; then the arguments of portshim.
 */
export async function entrypoint(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<never> {
  const [holdsCapability, ...words] = argv;
  if (!isSocket(LAUNCHER)) {
    output().say("main.js is started by portshim, not by hand");
    process.exit(status().STATUS.usage);
  }
  const stopping = new AbortController();
  const stop = () => stopping.abort(status().STATUS.terminated);
  process.on("SIGTERM", stop);
  // The launcher sends TERM for each of the others that it does not itself ignore (nohup): only it knows which.
  // And it has set an alarm, for a Node that hangs before it comes here.
  for (const name of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGALRM"] as const) process.on(name, () => {});
  process.on("uncaughtException", (error) => process.exit(sayUnexpected(error)));
  const context: Context = { holdsCapability: holdsCapability === "1", env, signal: stopping.signal };
  const running = dispatch(words, context).catch((error) => failed(error, words, stopping.signal));
  watchLauncher(stop);
  const outcome = await running;
  // Without a reply the launcher assumes that Node has failed.
  send("reply" in outcome ? outcome.reply : { refused: outcome.refused === true });
  if ("status" in outcome) process.exit(outcome.status);
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
  const { logger, print } = output();
  const ended = await command.run({ ...context, options, log: logger(options), print });
  context.signal.throwIfAborted();
  return { status: ended };
}

function failed(error: unknown, words: readonly string[], signal: AbortSignal): Outcome {
  if (signal.aborted) return { status: signal.reason as number };
  if (!(error instanceof PortshimError)) return { status: sayUnexpected(error) };
  const more = isCommand(words[0]) ? [] : report().restarts(error);
  output().say([error.message, error.remedy, ...more].filter((line) => line !== "").join("\n"));
  return { status: status().statusOf(error), refused: error.isRefusal };
}

/** Says what the system does not do for us, or what is a bug; the exit status. */
function sayUnexpected(error: unknown): number {
  const isSystems = error instanceof Error && "syscall" in error;
  const what = isSystems ? "the system does not let portshim work" : "internal error (please report it)";
  output().say(`${what}: ${printable(String(error))}`);
  const { STATUS } = status();
  return isSystems ? STATUS.unavailable : STATUS.software;
}

async function runStart({ options, command }: Arguments, context: Context): Promise<Outcome> {
  if (options.help) return printed(help().help(commands(), require("../plan/route.js").ROUTES));
  if (options.version) return printed(`portshim ${require("./version.js").VERSION}\n`);
  const { start, startBy, user, via, timeout, dryRun } = options;
  const drop = user === undefined ? undefined : require("../protocol/drop.js").dropTo(user);
  const gathering = gather({ ...context, start, startBy, ownTerminal: true, thorough: dryRun });
  // By now the host is at work on its answer, which takes as long as to load what is needed then.
  const { planFor } = require("../plan/plan.js");
  const { ensure } = require("../attempt/ensure.js");
  const { requireExecutable } = require("./executable.js");
  const log = output().logger(options);
  // And what is needed if there are no descriptors left to load it.
  status();
  const facts = await gathering;
  const plan = planFor(facts, via);
  if (dryRun) {
    const isPossible = plan.satisfied || plan.steps.some(({ usable }) => usable);
    return printed(`${report().dryRun(facts, plan)}\n`, isPossible ? "ok" : "unavailable");
  }
  // Before anybody is asked for it.
  requireExecutable(command[0] ?? "", context.env);
  await ensure(facts, plan, { timeout, log, signal: context.signal });
  context.signal.throwIfAborted();
  if (!drop) return { reply: { start: true } };
  const keepsPort = !isSatisfied(liveThreshold(), facts.wanted.value) && drop.held.has("net_bind_service");
  return { reply: { start: true, user: drop.user, keepsPort } };
}

function printed(text: string, ended: "ok" | "unavailable" = "ok"): Outcome {
  output().print(text);
  return { status: status().STATUS[ended] };
}

// What is loaded only when it is needed: each file costs a start a quarter of a millisecond before the host is asked.

function commands() {
  return require("./commands.js").COMMANDS;
}

function help() {
  return require("./help.js");
}

function output() {
  return require("./output.js");
}

function status() {
  return require("./status.js");
}

function report() {
  return require("../report/start.js");
}
