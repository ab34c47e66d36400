import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import { COMMANDS, type Entry } from "./command.js";
import type { Log } from "./contract.js";
import { dropFor, ensure, preview, type Task } from "./ensure.js";
import { requireExecutable } from "./executable.js";
import { PortshimError, statusOf } from "./failure.js";
import { commandHelp, help, type Invocation, type Options, parse, ROUTE_NAMES } from "./options.js";
import { LAUNCHER, type Reply, send } from "./reply.js";
import { STATUS, signalled } from "./status.js";
import { printable } from "./text.js";
import { isSatisfied, liveThreshold } from "./threshold.js";
import { VERSION } from "./version.js";

/** How a run ends: with a reply for the launcher, which then starts the command, or with a status of its own. */
type Outcome = { readonly reply: Reply } | { readonly status: number };

/**
 * The helper's work: does what `portshim argument…` asks for, tells the launcher, and ends this process. `argv` is what the
 * launcher gives: "1" if the command can bind low ports as it is, else "0"; then the arguments of portshim.
 */
export async function entrypoint(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<never> {
  const [canBind, ...words] = argv;
  const stop = new AbortController();
  const stopBy = (name: NodeJS.Signals) => () => stop.abort(signalled(constants.signals[name]));
  process.on("SIGTERM", stopBy("SIGTERM"));
  // The launcher sends TERM for each of the others that it does not itself ignore (nohup): only it knows which.
  for (const name of ["SIGHUP", "SIGINT", "SIGQUIT"] as const) process.on(name, () => {});
  try {
    // It closes when the launcher is gone, and then nobody waits for a prompt.
    new Socket({ fd: LAUNCHER })
      .on("error", () => {})
      .on("close", stopBy("SIGTERM"))
      .resume()
      .unref();
  } catch {
    say("main.js is started by portshim, not by hand");
    process.exit(STATUS.usage);
  }
  const setting: Setting = { canBind: canBind === "1", env, signal: stop.signal };
  const outcome = await dispatch(words, setting).catch((error) => failed(error, words, stop.signal));
  if ("status" in outcome) process.exit(outcome.status);
  send(outcome.reply);
  // The launcher waits for our end, and Node would take its time.
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => {});
}

/** What comes from the launcher. */
type Setting = Pick<Task, "canBind" | "env"> & { readonly signal: AbortSignal };

async function dispatch(words: readonly string[], setting: Setting): Promise<Outcome> {
  const command = COMMANDS.find(({ name }) => name === words[0]);
  if (!command) return act(parse(words, setting.env, ROUTE_NAMES), setting);
  return call(command, parse(words.slice(1), setting.env, ROUTE_NAMES, command.name).options, setting);
}

async function call(entry: Entry, options: Options, setting: Setting): Promise<Outcome> {
  const command = entry.load();
  if (options.help) return print(commandHelp(entry.name, command.about, command.statuses));
  const status = await command.run({ ...setting, options, log: logger(options), print });
  setting.signal.throwIfAborted();
  return { status };
}

function failed(error: unknown, words: readonly string[], signal: AbortSignal): Outcome {
  if (signal.aborted) return { status: signal.reason as number };
  if (!(error instanceof PortshimError)) {
    say(`internal error (please report it): ${printable(String(error))}`);
    return { status: STATUS.software };
  }
  const isStart = !COMMANDS.some(({ name }) => name === words[0]);
  const more = isStart ? report().restarts(error) : [];
  say([error.message, error.remedy, ...more].filter((line) => line !== "").join("\n"));
  if (error.isRefusal) send({ refused: true });
  return { status: statusOf(error) };
}

async function act({ options, command }: Invocation, setting: Setting): Promise<Outcome> {
  if (options.help) return print(help(COMMANDS, (require("./route.js") as typeof import("./route.js")).ROUTES));
  if (options.version) return print(`portshim ${VERSION}\n`);
  const drop = dropFor(options);
  const task: Task = { ...setting, options, drop, log: logger(options) };
  if (options.dryRun) {
    const { facts, plan } = await preview({ ...task, thorough: true });
    print(`${report().dryRun(facts, plan)}\n`);
    const isPossible = plan.satisfied || plan.steps.some(({ usable }) => usable);
    return { status: isPossible ? STATUS.ok : STATUS.unavailable };
  }
  // Before anybody is asked for it.
  requireExecutable(command[0] ?? "", setting.env);
  const { facts } = await ensure(task);
  setting.signal.throwIfAborted();
  if (!drop) return { reply: { start: true } };
  const keepsPort = !isSatisfied(liveThreshold(), facts.wanted.value) && drop.held.has("net_bind_service");
  return { reply: { start: true, user: drop.user, keepsPort } };
}

/** Loaded when something has to be said. */
function report() {
  return require("./report.js") as typeof import("./report.js");
}

function logger({ quiet, verbose }: Options): Log {
  return (level, message) => {
    if (level === "notice" || (level === "info" && !quiet) || (level === "detail" && verbose)) say(message);
  };
}

/** Throws PortshimError `output-failed`: what was asked for was not said. */
function print(text: string): Outcome {
  try {
    write(1, text);
  } catch (error) {
    // Who closes a pipe has read enough (head).
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EPIPE") throw new PortshimError("output-failed", printable(message));
  }
  return { status: STATUS.ok };
}

function say(message: string): void {
  try {
    write(2, `portshim: ${message}\n`);
  } catch {
    // A closed or full stderr must not keep the server from starting.
  }
}

/** Milliseconds between attempts to write to a full pipe that does not block. */
const PAUSE = 10;

/** Writes all of it, or throws what the system says. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
    }
  }
}
