import { writeSync } from "node:fs";
import { constants } from "node:os";
import { COMMANDS, type Command } from "./command.js";
import type { Log } from "./contract.js";
import { type Drop, leftovers, setprivCommand } from "./drop.js";
import { dropFor, ensure, preview, type Task } from "./ensure.js";
import { survey } from "./facts.js";
import { PortshimError } from "./failure.js";
import { becomeByNode, requireCommand, requireExecve } from "./handover.js";
import { commandHelp, help, type Invocation, type Options, parse } from "./options.js";
import { watchParent } from "./parent.js";
import { isSatisfied } from "./plan.js";
import * as report from "./report.js";
import { ROUTES, routeNames } from "./route.js";
import { outward, STATUS, signalled } from "./status.js";
import { printable } from "./text.js";
import { liveThreshold } from "./threshold.js";
import { VERSION } from "./version.js";

/** Signals that stop portshim where it runs without the stub. */
const STOPPING = ["SIGHUP", "SIGINT", "SIGQUIT"] as const;

/** Who starts us: the stub, by its pid, or an image's ENTRYPOINT where there is no shell for it. */
interface Caller {
  /** Undefined where there is no stub: then we become the command ourselves. */
  readonly stub: number | undefined;
  /** The stub wants to know how to become --user, on stdout. */
  readonly asksForDrop: boolean;
}

/**
 * The helper's work for `portshim [options] -- command`: resolves to the status for the stub (see status.ts), or does
 * not return where it becomes the command. `env` holds what the stub says: PORTSHIM_STUB, its pid, and PORTSHIM_ASK.
 */
export async function entrypoint(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const caller: Caller = { stub: Number(env.PORTSHIM_STUB) || undefined, asksForDrop: env.PORTSHIM_ASK === "drop" };
  const stop = new AbortController();
  const stopBy = (name: NodeJS.Signals) => () => stop.abort(signalled(constants.signals[name]));
  process.on("SIGTERM", stopBy("SIGTERM"));
  // The stub sends TERM for each of the others that it does not itself ignore (nohup): only it knows which.
  for (const name of STOPPING) process.on(name, caller.stub ? () => {} : stopBy(name));
  if (caller.stub) watchParent(caller.stub, stopBy("SIGTERM"));
  const status = await dispatch(argv, caller, env, stop.signal).catch((error) => {
    if (stop.signal.aborted) return stop.signal.reason as number;
    sayWhy(error);
    return statusOf(error);
  });
  return caller.stub ? status : outward(status);
}

async function dispatch(
  argv: readonly string[],
  caller: Caller,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<number> {
  const routes = routeNames();
  const command = COMMANDS.find(({ name }) => name === argv[0]);
  if (!command) return act(parse(argv, env, routes), caller, env, signal);
  return call(command, parse(argv.slice(1), env, routes, command.name).options, env, signal);
}

async function call(command: Command, options: Options, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  if (options.help) return print(commandHelp(command.name, command.about, command.statuses));
  const status = await command.run({ options, env, signal, log: logger(options), print });
  signal.throwIfAborted();
  return status;
}

/** `more` are further lines. */
function sayWhy(error: unknown, more: readonly string[] = []): void {
  if (!(error instanceof PortshimError)) say(`this is a mistake in portshim: ${printable(String(error))}`);
  else say([error.message, error.remedy, ...more].filter((line) => line !== "").join("\n"));
}

function statusOf(error: unknown): number {
  const code = error instanceof PortshimError ? error.code : undefined;
  if (code === "not-found") return STATUS.notFound;
  return code === "not-executable" ? STATUS.notExecutable : STATUS.failed;
}

async function act(
  invocation: Invocation,
  caller: Caller,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<number> {
  const { options, command } = invocation;
  if (options.help) return print(help(COMMANDS, ROUTES));
  if (options.version) return print(`portshim ${VERSION}\n`);
  const drop = dropFor(options);
  const task: Task = { options, drop, env, log: logger(options), signal };
  if (options.dryRun) {
    const { facts, plan } = await preview({ ...task, thorough: true });
    print(`${report.dryRun(facts, plan)}\n`);
    return plan.satisfied || plan.steps.some(({ usable }) => usable) ? STATUS.said : STATUS.failed;
  }
  if (caller.asksForDrop && drop) return tellDrop(drop, options, env);
  if (!caller.stub) requireExecve();
  // Before anybody is asked for it.
  requireCommand(command[0] ?? "");
  try {
    await ensure(task);
  } catch (error) {
    if (!(error instanceof PortshimError) || signal.aborted) throw error;
    sayWhy(error, report.restarts(error));
    if (!options.optional) return STATUS.failed;
    say("Starting the command all the same, because of --optional.");
  }
  signal.throwIfAborted();
  if (caller.stub) return STATUS.ready;
  if (drop && !options.quiet) for (const left of leftovers({ ...drop, setpriv: undefined })) say(left);
  return becomeByNode(command, drop?.user);
}

/**
 * Tells the stub how to become the user, a word a line: HOME, then the command that goes before the server's; or only
 * `node`, where Node has to do it.
 */
function tellDrop(drop: Drop, options: Options, env: NodeJS.ProcessEnv): number {
  if (!drop.setpriv) return print("node\n");
  const { wanted } = survey({ start: options.start, drop, env });
  const keepsPort = !isSatisfied(liveThreshold(), wanted.value) && drop.held.has("net_bind_service");
  if (!options.quiet) for (const left of leftovers(drop)) say(left);
  return print(`${[drop.user.home, ...setprivCommand(drop, keepsPort)].join("\n")}\n`);
}

function logger({ quiet, verbose }: Options): Log {
  return (level, message) => {
    if (level === "notice" || (level === "info" && !quiet) || (level === "detail" && verbose)) say(message);
  };
}

/** Throws PortshimError `output-failed`: what was asked for was not said. */
function print(text: string): number {
  try {
    write(1, text);
  } catch (error) {
    // Who closes a pipe has read enough (head).
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EPIPE") throw new PortshimError("output-failed", printable(message));
  }
  return STATUS.said;
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
