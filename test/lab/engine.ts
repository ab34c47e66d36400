import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import Docker from "dockerode";
import { extract } from "tar-stream";
import { type ContextFile, packContext } from "../../images/lib/context.js";
import { node } from "../need.js";
import type { Lab, Result, Running, RunOptions } from "./lab.js";

/** A file or folder of an image. */
export interface Entry {
  readonly mode: number;
  /** Empty for a folder. */
  readonly content: Buffer;
}

/** The lab user's podman, answering on its socket, and portshim-images run against it. */
export interface Engine {
  /** podman's API, from this machine. */
  readonly docker: Docker;
  /** The socket, as the lab's host sees it. */
  readonly socket: string;
  /** Builds an image from a Containerfile and other files. Returns its id. */
  build(tag: string, containerfile: string, files?: readonly ContextFile[]): Promise<string>;
  /** The digests of an image's layers. */
  layers(image: string): Promise<string[]>;
  /** What an image's layers hold, by path. */
  contents(image: string): Promise<Map<string, Entry>>;
  /** Every image, those without a name too, and every container, those of a build too: an id each. */
  holdings(): Promise<string[]>;
  /** Runs portshim-images as the user, on the lab's host. */
  images(argv: readonly string[], options?: RunOptions): Promise<Result>;
  /** Starts portshim-images as the user, on the lab's host. */
  spawnImages(argv: readonly string[], options?: RunOptions): Promise<Running>;
  /** Ends podman at once, as if it had crashed. */
  kill(): Promise<void>;
  /** Starts podman again. */
  start(): Promise<void>;
}

/** An image of the lab with Node 26, and all else of the lab's base. */
export const NODE_IMAGE = "localhost/portshim-lab/node:1";

/** Starts the engine, and gives it NODE_IMAGE. */
export async function startEngine(lab: Lab): Promise<Engine> {
  const socket = `/run/user/${lab.uid}/podman/podman.sock`;
  const docker = new Docker({ socketPath: `${lab.root}${socket}` });
  const command = [`${lab.nodes}/node26/bin/node`, `${lab.repository}/images/portshim-images`];
  let service: Running;

  async function start(): Promise<void> {
    await lab.asUser(["mkdir", "-p", `/run/user/${lab.uid}/podman`]);
    await lab.asUser(["rm", "-f", socket]);
    // In namespaces of its own, as elsewhere in the lab, a build's own are not allowed.
    const env = { BUILDAH_ISOLATION: "chroot" };
    service = await lab.spawn("user", ["podman", "system", "service", "--time=0", `unix://${socket}`], { env });
    for (let tries = 0; !(await docker.ping().catch(() => false)); tries++) {
      if (tries === 500) throw new Error(`podman does not answer: ${service.stderr}`);
      await sleep(20);
    }
  }

  async function build(tag: string, containerfile: string, files: readonly ContextFile[] = []): Promise<string> {
    const context = packContext([contextFile("Containerfile", containerfile), ...files]);
    const answer = await docker.buildImage(
      context as unknown as NodeJS.ReadableStream,
      {
        t: tag,
        dockerfile: "Containerfile",
        nocache: true,
        layers: false,
      } as object,
    );
    const messages: { error?: string; aux?: { ID?: string } }[] = await new Promise((resolve, reject) => {
      docker.modem.followProgress(answer, (error, all) => (error ? reject(error) : resolve(all)));
    });
    const id = messages.find(({ aux }) => aux?.ID !== undefined)?.aux?.ID;
    if (id === undefined) throw new Error(`${tag}: ${JSON.stringify(messages)}`);
    return id.replace(/^sha256:/, "");
  }

  async function holdings(): Promise<string[]> {
    const list = async (...argv: string[]) => (await lab.asUser(["podman", ...argv])).stdout.split("\n");
    const images = await list("images", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}");
    const containers = await list("ps", "--all", "--external", "--no-trunc", "--format", "{{.ID}} {{.Names}}");
    return [...images, ...containers].filter(Boolean).sort();
  }

  await start();
  const binary = { path: "node", content: readFileSync(node(26)), executable: true };
  await build(NODE_IMAGE, "FROM localhost/portshim-lab/base:1\nCOPY node /usr/local/bin/node\n", [binary]);
  return {
    docker,
    socket,
    build,
    layers: async (image) => (await docker.getImage(image).inspect()).RootFS.Layers ?? [],
    contents: (image) => contentsOf(docker, image),
    holdings,
    images: (argv, options) => lab.asUser([...command, ...argv], options),
    spawnImages: (argv, options) => lab.spawn("user", [...command, ...argv], options),
    kill: async () => {
      await service.kill("SIGKILL");
      await service.exited;
    },
    start,
  };
}

/** What the layers of an image of podman's or docker's hold, by path. */
export async function contentsOf(docker: Docker, image: string): Promise<Map<string, Entry>> {
  const saved = await unpacked(await docker.getImage(image).get());
  const [{ Layers }] = JSON.parse(String(saved.get("manifest.json")?.content));
  const layers = await Promise.all(
    Layers.map((name: string) => unpacked(Readable.from([saved.get(name)?.content as Buffer]))),
  );
  return new Map(layers.flatMap((layer) => [...layer]));
}

async function unpacked(archive: NodeJS.ReadableStream): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>();
  for await (const entry of archive.pipe(extract())) {
    found.set(entry.header.name, { mode: entry.header.mode ?? 0, content: await buffer(entry) });
  }
  return found;
}

/** A file of a build context. */
export function contextFile(path: string, content: string): ContextFile {
  return { path, content: Buffer.from(content), executable: false };
}
