import { commandLine } from "portshim/internal";
import type { Engine } from "./engine.js";
import type { Image } from "./image.js";
import { type Reference, shownReference } from "./reference.js";

/** The default threshold. */
const DEFAULT_START = 80;

/** The command line to try an image whose server needs ports from `start` up. */
export function trial(engine: Engine, image: Image, reference: Reference, start = DEFAULT_START): string {
  // podman's containers start at 1024, docker's at 0.
  const setting = engine.program === "podman" ? ["--sysctl", `net.ipv4.ip_unprivileged_port_start=${start}`] : [];
  const port = Number(
    image.ports.map((text) => text.match(/^(\d+)(\/tcp)?$/)?.[1]).find(Boolean) ?? (start || DEFAULT_START),
  );
  // An ordinary user's engine cannot bind ports below 1024.
  const published = `${port < 1024 ? port + 8000 : port}:${port}`;
  const command = image.entrypoint.length + image.command.length > 0 ? [] : ["COMMAND"];
  return commandLine([
    engine.program,
    "run",
    "--rm",
    ...setting,
    "-p",
    published,
    shownReference(reference),
    ...command,
  ]);
}
