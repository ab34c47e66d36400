import { commandLine, KERNEL_DEFAULT, SETTING, WEB } from "portshim/internal";
import type { Engine } from "./engine.js";
import type { Image } from "./image.js";
import { type Reference, shownReference } from "./reference.js";

/** The command line to try an image whose server needs ports from `start` up. */
export function trial(engine: Engine, image: Image, reference: Reference, start = WEB): string {
  // podman's containers start at 1024, docker's at 0.
  const setting = engine.program === "podman" ? ["--sysctl", `${SETTING}=${start}`] : [];
  const port = Number(image.ports.map((text) => text.match(/^(\d+)(\/tcp)?$/)?.[1]).find(Boolean) ?? (start || WEB));
  // An ordinary user's engine cannot bind lower ones.
  const published = `${port < KERNEL_DEFAULT ? port + 8000 : port}:${port}`;
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
