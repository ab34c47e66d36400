import { posix } from "node:path";
import { printable } from "portshim/internal";
import { ask, type Engine } from "./engine.js";
import { discard, type Files } from "./files.js";
import { type Image, searchPath } from "./image.js";

/** The Node.js of an image. */
export interface ImageNode {
  readonly path: string;
  /** It is on the image's PATH, where the launcher looks for it. */
  readonly isOnPath: boolean;
  /** `v24.21.0`, for example; undefined if it does not run. */
  readonly version: string | undefined;
}

/** Looks for the image's Node.js, and runs it for its version. */
export async function findNode(engine: Engine, image: Image, files: Files): Promise<ImageNode | undefined> {
  for (const { path, isOnPath } of places(image)) {
    if ((await files.find(path))?.isExecutable) return { path, isOnPath, version: await version(engine, image, path) };
  }
  return undefined;
}

function places(image: Image): { path: string; isOnPath: boolean }[] {
  const onPath = ["node", "nodejs"].flatMap((name) => searchPath(image).map((folder) => posix.join(folder, name)));
  // Distroless images have it outside of PATH, and name it in the entrypoint.
  const words = new Set([...image.entrypoint, ...image.command].filter((word) => /^\/(.*\/)?node(js)?$/.test(word)));
  const named = [...words].slice(0, MOST_NAMED);
  return [
    ...onPath.map((path) => ({ path, isOnPath: true })),
    ...[...named, "/nodejs/bin/node"].map((path) => ({ path, isOnPath: false })),
  ];
}

/** Most paths in the entrypoint and the command that are looked at. */
const MOST_NAMED = 10;

/** Runs it, in a container without any privilege: only that shows whether it works. */
async function version(engine: Engine, image: Image, path: string): Promise<string | undefined> {
  return ask(engine, `run ${printable(path)} --version in ${printable(image.reference)}`, async () => {
    const container = await engine.docker.createContainer({
      Image: image.id,
      Entrypoint: [path],
      Cmd: ["--version"],
      // The image's own could run code in it.
      Env: ["NODE_OPTIONS="],
      HostConfig: {
        NetworkMode: "none",
        ReadonlyRootfs: true,
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges"],
        // Whatever the engine's own is; it could be another program, which prints without end.
        LogConfig: { Type: "json-file", Config: { "max-size": LONGEST_LOG } },
      },
    });
    try {
      await container.start();
      await container.wait({ abortSignal: AbortSignal.any([engine.signal, AbortSignal.timeout(LONGEST_WAIT)]) });
      // Not by attach, which can miss what a short program has said.
      const said = await container.logs({ stdout: true, stderr: true, tail: 10 });
      return said.toString("latin1").match(/v\d+\.\d+\.\d+/)?.[0];
    } catch (error) {
      if (engine.signal.aborted) throw error;
      return undefined;
    } finally {
      await discard(container);
    }
  });
}

const LONGEST_LOG = "100k";

/** Milliseconds for the container to run; the version itself takes a few. */
const LONGEST_WAIT = 20_000;

/** The oldest major version that portshim runs on. */
const OLDEST = 20;

/** Whether portshim can use it. */
export function isUsable(node: ImageNode | undefined): boolean {
  return node?.isOnPath === true && isRecent(node);
}

function isRecent({ version }: ImageNode): boolean {
  return Number(version?.match(/^v(\d+)\./)?.[1]) >= OLDEST;
}

/** Why portshim cannot use it, and how to change that: middles of sentences. */
export function lackOf(node: ImageNode | undefined): { lack: string; remedy: string } {
  const remedy = `install Node.js ${OLDEST} or later`;
  if (node === undefined) return { lack: "no Node.js", remedy };
  const path = printable(node.path);
  if (node.version === undefined) return { lack: `a Node.js that does not start on this machine (${path})`, remedy };
  if (!isRecent(node)) return { lack: `only Node.js ${node.version} (${path})`, remedy };
  return { lack: `no Node.js on its PATH (only ${path})`, remedy: `put ${posix.dirname(path)} on its PATH` };
}
