import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { ensurePorts, PortshimError } from "portshim";

const app = new Hono();
app.get("/", (context) => context.text("Hello from Hono\n"));

try {
  await ensurePorts({
    start: 80,
    // The command that will run as root is among these: it has to be seen before the password prompt.
    logger: (level, message) => level === "detail" || console.error(message),
  });
  const server = serve({ fetch: app.fetch, port: 80 }, () => console.log("serving on port 80"));
  process.once("SIGTERM", () => server.close());
} catch (error) {
  if (!(error instanceof PortshimError)) throw error;
  console.error(`${error.message}\n${error.remedy}`);
  // For RestartPreventExitStatus=NOPERM in a systemd unit.
  process.exitCode = error.isRefusal ? 77 : 1;
}
