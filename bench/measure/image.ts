import { join } from "node:path";
import { type Bench, type Engine, type Lab, must, ROOT } from "./bench.js";

/** An image with Node and a server on port 80, as someone else's. */
export const SERVER_IMAGE = "localhost/bench-server:1";
/** The same, wrapped by portshim-images. */
export const WRAPPED_IMAGE = "localhost/bench-server:1-portshim";
/** What the server's image starts. */
export const ENTRYPOINT = ["node", "/srv/server.js"];

const SERVER = `
  const server = require("node:http").createServer((_, response) => response.end("here\\n")).listen(80);
  process.on("SIGTERM", () => process.exit(0));
`;

interface Images {
  readonly lab: Lab;
  readonly engine: Engine;
}

let made: Promise<Images> | undefined;

/** The lab's user's podman, with both images. */
export function images(bench: Bench): Promise<Images> {
  made ??= make(bench);
  return made;
}

async function make(bench: Bench): Promise<Images> {
  const lab = await bench.lab();
  const engine = await bench.engine();
  const { NODE_IMAGE, contextFile } = require(
    join(ROOT, "build/lab/engine.js"),
  ) as typeof import("../../build/lab/engine.js");
  const containerfile = `FROM ${NODE_IMAGE}\nCOPY server.js /srv/\nUSER 1000\nENTRYPOINT ${JSON.stringify(ENTRYPOINT)}\n`;
  await engine.build(SERVER_IMAGE, containerfile, [contextFile("server.js", SERVER)]);
  must(["portshim-images", "wrap"], await engine.images(["wrap", SERVER_IMAGE]));
  return { lab, engine };
}
