// An example of a server framework that uses portshim's library; docs/library.md shows its middle part.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { ensurePorts, type Level, PortshimError } from "portshim";

/** Makes the text that answers a request. */
export type Handler = (request: IncomingMessage) => string;

/** An application. */
export interface App {
  /** Answers GET requests for exactly this path. */
  get(path: string, handler: Handler): App;
  /**
   * Serves on `port` (1–65535) until SIGTERM. If it cannot, it says why and sets the process's exit status: 77 if a
   * person or a policy said no, for RestartPreventExitStatus=NOPERM in a systemd unit, else 1.
   */
  listen(port: number): Promise<void>;
}

/** Creates an application that logs to standard error, each line after its name. */
export function createApp(name: string): App {
  const handlers = new Map<string, Handler>();
  const say = (message: string) => process.stderr.write(message.replace(/^/gm, `[${name}] `).concat("\n"));
  const server = createServer((request, response) => {
    const handler = request.method === "GET" ? handlers.get(request.url ?? "") : undefined;
    if (!handler) response.statusCode = 404;
    response.end(handler?.(request) ?? "");
  });
  return {
    get(path, handler) {
      handlers.set(path, handler);
      return this;
    },
    async listen(port) {
      const stop = new AbortController();
      process.once("SIGTERM", () => {
        stop.abort(new Error("stopped before it could serve"));
        server.close();
      });
      try {
        await listen(server, port, stop.signal, say);
        say(`serving on ${port}`);
      } catch (error) {
        say(error instanceof PortshimError ? `${error.message}\n${error.remedy}` : (error as Error).message);
        process.exitCode = error instanceof PortshimError && error.isRefusal ? 77 : 1;
      }
    },
  };
}

async function listen(server: Server, port: number, signal: AbortSignal, say: (message: string) => void) {
  try {
    await bind(server, port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EACCES" || port > 1024) throw error;
    const logger = (level: Level, message: string) => {
      if (level !== "detail") say(message);
    };
    await ensurePorts({ start: port, signal, logger });
    await bind(server, port);
  }
}

function bind(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
