import { existsSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { getSystemErrorMap } from "node:util";
import type Docker from "dockerode";
import { printable } from "portshim/internal";
import { ImagesError } from "./failure.js";

/** A container engine that answers. */
export interface Engine {
  readonly docker: Docker;
  /** Its command, for what a person is told to run. */
  readonly program: "podman" | "docker";
  /** Aborted when the person wants to stop; its reason is the signal's name. */
  readonly signal: AbortSignal;
}

/** Variables that may hold an engine's address: the first that is set counts. */
const VARIABLES = ["DOCKER_HOST", "CONTAINER_HOST"] as const;

/** Where an engine's socket may be where no address is given: the first that answers counts. */
const SOCKETS: readonly ((env: NodeJS.ProcessEnv) => string | undefined)[] = [
  (env) => (env.XDG_RUNTIME_DIR ? `${env.XDG_RUNTIME_DIR}/podman/podman.sock` : undefined),
  () => "/run/podman/podman.sock",
  () => "/var/run/docker.sock",
];

/** An engine that has not said who it is in this many milliseconds is none; its socket may have to start it. */
const LONGEST_SILENCE = 5_000;

/**
 * Finds the engine: at `host`, else where a variable says, else where one usually is.
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
  // It takes longer to load than all else here: not for somebody who mistyped.
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

/** A ping, because podman starts programs to tell its version; dockerode's own leaves the header out. */
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

/** Throws ImagesError `interrupted` where the person wants to stop. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new ImagesError("interrupted", String(signal.reason));
}

/** The failure of an engine that answers no more. */
export function gone(engine: Engine, what: string, error?: unknown): ImagesError {
  const why = error === undefined ? "" : ` (${reason(error)})`;
  return new ImagesError(
    "engine-gone",
    `${what}${why}`,
    engine.program === "podman" ? startPodman() : "Start it again: sudo systemctl start docker",
  );
}

/** In a toolbox there is no systemd to ask. */
function startPodman(): string {
  const where = existsSync("/run/.containerenv") ? ", on the host" : "";
  return `Start podman's${where}: systemctl --user start podman.socket`;
}

/** Whether the engine refused, rather than that it was not there. */
export function answered(error: unknown): boolean {
  return typeof (error as { statusCode?: unknown }).statusCode === "number";
}

/** What the engine, or the system, said: the middle of a sentence. */
export function reason(error: unknown): string {
  const { json, errno, message } = error as { json?: unknown; errno?: number; message?: string };
  const said = (json as { message?: unknown } | null | undefined)?.message;
  const system = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return printable(typeof said === "string" ? said : (system ?? message ?? String(error))).replace(/\.$/, "");
}
