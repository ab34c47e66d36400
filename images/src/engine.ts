import { existsSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { getSystemErrorMap } from "node:util";
import type Docker from "dockerode";
import { printable } from "portshim/internal";
import { ImagesError } from "./failure.js";

/** A container engine that answers. */
export interface Engine {
  readonly docker: Docker;
  /** Its command, for messages. */
  readonly program: "podman" | "docker";
  /** Aborted by a signal that stops us; its reason is the signal's name. */
  readonly signal: AbortSignal;
}

/** Variables with an engine's address: the first one that is set is used. */
const VARIABLES = ["DOCKER_HOST", "CONTAINER_HOST"] as const;

/** An engine's sockets, if no address is given: the first one that answers is used. */
const SOCKETS: readonly ((env: NodeJS.ProcessEnv) => string | undefined)[] = [
  (env) => (env.XDG_RUNTIME_DIR ? `${env.XDG_RUNTIME_DIR}/podman/podman.sock` : undefined),
  () => "/run/podman/podman.sock",
  () => "/var/run/docker.sock",
];

/** Milliseconds for an engine to answer; its socket may have to start it. */
const LONGEST_SILENCE = 5_000;

/**
 * Finds the engine: at `host`, else at the address in a variable, else at its usual socket.
 *
 * Throws ImagesError `bad-usage` or `no-engine`.
 */
export async function connect(host: string | undefined, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Engine> {
  const variable = VARIABLES.find((name) => env[name]);
  const given = host ?? (variable && env[variable]);
  const addresses = given
    ? [given]
    : SOCKETS.flatMap((socket) => {
        const path = socket(env);
        return path === undefined ? [] : [`unix://${path}`];
      });
  const connections = addresses.map((address) => connection(address, host === undefined ? variable : "--host"));
  // It takes longer to load than everything else: do not load it for a mistyped command.
  const { default: Dockerode } = await import("dockerode");
  const problems: string[] = [];
  for (const [index, address] of addresses.entries()) {
    const docker = new Dockerode(connections[index]);
    const silence = AbortSignal.timeout(LONGEST_SILENCE);
    try {
      return { docker, program: await identify(docker, AbortSignal.any([signal, silence])), signal };
    } catch (error) {
      throwIfInterrupted(signal);
      const why = silence.aborted ? `no answer in ${LONGEST_SILENCE / 1000} seconds` : reason(error);
      problems.push(`${printable(address)}: ${why}`);
    }
  }
  throw new ImagesError("no-engine", problems.join("; "), startPodman());
}

/** By a ping, as podman starts programs to report its version; dockerode's own ping() drops the headers. */
function identify(docker: Docker, signal: AbortSignal): Promise<Engine["program"]> {
  const request = { path: "/_ping", method: "GET", isStream: true, abortSignal: signal, statusCodes: { 200: true } };
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error, answer) => {
      if (error) return reject(error);
      const { headers } = (answer as IncomingMessage).resume();
      resolve(headers["libpod-api-version"] === undefined ? "docker" : "podman");
    });
  });
}

function connection(address: string, source: string | undefined): Docker.DockerOptions {
  const path = address.match(/^unix:\/\/(\/.+)$/)?.[1];
  if (path !== undefined) return { socketPath: path };
  const [, host, port] = address.match(/^(?:tcp|http):\/\/([^/:]+|\[[0-9a-f:]+\]):(\d+)\/?$/i) ?? [];
  if (host !== undefined) return { protocol: "http", host, port: Number(port) };
  throw new ImagesError(
    "bad-usage",
    `${source} must be unix:///PATH or tcp://HOST:PORT, not "${printable(address)}"`,
    "For another machine's engine, bring its socket here: ssh -nNT -L /tmp/engine.sock:/run/podman/podman.sock HOST",
  );
}

/**
 * Has the engine do something; `what` completes "the engine could not …".
 *
 * Throws ImagesError.
 */
export async function ask<T>(engine: Engine, what: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    throwIfInterrupted(engine.signal);
    if (error instanceof ImagesError) throw error;
    if (answered(error)) throw new ImagesError("engine-failed", `${what}: ${reason(error)}`);
    throw gone(engine, what, error);
  }
}

/** Throws ImagesError `interrupted` if a signal has stopped us. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new ImagesError("interrupted", String(signal.reason));
}

/** The failure of an engine that no longer answers. */
export function gone(engine: Engine, what: string, error?: unknown): ImagesError {
  const why = error === undefined ? "" : ` (${reason(error)})`;
  return new ImagesError(
    "engine-gone",
    `${what}${why}`,
    engine.program === "podman" ? startPodman() : "Start it again: sudo systemctl start docker",
  );
}

/** A toolbox has no systemd. */
function startPodman(): string {
  const where = existsSync("/run/.containerenv") ? ", on the host" : "";
  return `Start podman's${where}: systemctl --user start podman.socket`;
}

/** Whether the engine answered with an error, rather than not at all. */
export function answered(error: unknown): boolean {
  return typeof (error as { statusCode?: unknown }).statusCode === "number";
}

/** The engine's or the system's message, as the middle of a sentence. */
export function reason(error: unknown): string {
  const { json, errno, message } = error as { json?: unknown; errno?: number; message?: string };
  const said = (json as { message?: unknown } | null | undefined)?.message;
  const system = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return printable(typeof said === "string" ? said : (system ?? message ?? String(error))).replace(/\.$/, "");
}
