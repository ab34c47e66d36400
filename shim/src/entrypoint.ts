import { writeSync } from "node:fs";
import { constants } from "node:os";
import { ensure, type Log, preview } from "./ensure.js";
import { PortshimError } from "./failure.js";
import { help, type Options, parse } from "./options.js";
import { watchParent } from "./parent.js";
import * as report from "./report.js";
import { ROUTES } from "./route.js";
import { STATUS, signalled } from "./status.js";
import { printable } from "./text.js";
import { VERSION } from "./version.js";

/** Signals that stop portshim where it runs without the stub. */
const STOPPING = ["SIGHUP", "SIGINT", "SIGQUIT"] as const;

/**
 * The helper's work for `portshim [options] -- command`: resolves to the status for the stub (see status.ts).
 * `env` holds PORTSHIM_STUB, the stub's pid, where the stub started us.
 */
export async function entrypoint(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const stop = new AbortController();
  const stopBy = (name: NodeJS.Signals) => () => stop.abort(signalled(constants.signals[name]));
  const stub = Number(env.PORTSHIM_STUB);
  process.on("SIGTERM", stopBy("SIGTERM"));
  // The stub sends TERM for each of the others that it does not itself ignore (nohup): only it knows which.
  for (const name of STOPPING) process.on(name, stub > 0 ? () => {} : stopBy(name));
  if (stub > 0) watchParent(stub, stopBy("SIGTERM"));
  try {
    const { options } = parse(argv, env, routeNames());
    return await act(options, env, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return stop.signal.reason as number;
    say(error instanceof PortshimError ? error.message : `this is a mistake in portshim: ${printable(String(error))}`);
    return STATUS.failed;
  }
}

function routeNames(): string[] {
  return ROUTES.map(({ name }) => name);
}

async function act(options: Options, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  if (options.help) return print(help(ROUTES));
  if (options.version) return print(`portshim ${VERSION}\n`);
  if (options.dryRun) {
    const { facts, plan } = await preview(options, env, signal);
    print(`${report.dryRun(facts, plan)}\n`);
    return plan.satisfied || plan.steps.some(({ usable }) => usable) ? STATUS.said : STATUS.failed;
  }
  try {
    await ensure(options, env, logger(options), signal);
  } catch (error) {
    if (!(error instanceof PortshimError) || signal.aborted) throw error;
    say(error.remedy === "" ? error.message : `${error.message}\n${error.remedy}`);
    if (!options.optional) return STATUS.failed;
    say("Starting the command all the same, because of --optional.");
  }
  return STATUS.ready;
}

function logger({ quiet, verbose }: Options): Log {
  return (level, message) => {
    if (level === "notice" || (level === "info" && !quiet) || (level === "detail" && verbose)) say(message);
  };
}

function print(text: string): number {
  write(1, text);
  return STATUS.said;
}

function say(message: string): void {
  write(2, `portshim: ${message}\n`);
}

function write(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // A closed or full stderr must not keep the server from starting.
  }
}
