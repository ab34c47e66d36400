import { createHash } from "node:crypto";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";

/** A file of a layer, or a link if it has a target. */
export interface LayerFile {
  readonly name: string;
  readonly mode?: number;
  readonly content?: Buffer;
  readonly target?: string;
}

/** A layer of an image, compressed. */
export interface Layer {
  /** The digest of its tar archive. */
  readonly digest: string;
  readonly content: Buffer;
}

/** A layer of these files, however many. */
export async function layerOf(files: Iterable<LayerFile>): Promise<Layer> {
  const hash = createHash("sha256");
  const compressed = createGzip({ level: 1 });
  const content = buffer(compressed);
  const archive = pack();
  archive.on("data", (part) => {
    hash.update(part as Buffer);
    compressed.write(part as Buffer);
  });
  let added = 0;
  for (const { name, mode = 0o644, content = Buffer.alloc(0), target } of files) {
    const header = { name, mode, mtime: new Date(0) };
    if (target === undefined) archive.entry(header, content);
    else archive.entry({ ...header, type: "symlink", linkname: target });
    if (++added % 100 > 0) continue;
    // What was added is passed on, so that it is not all in memory at once.
    await new Promise((resolve) => setImmediate(resolve));
    if (compressed.writableNeedDrain) await once(compressed, "drain");
  }
  archive.finalize();
  await new Promise<void>((resolve) => archive.on("end", () => resolve()));
  compressed.end();
  return { digest: `sha256:${hash.digest("hex")}`, content: await content };
}

/** An archive as `docker save` writes it, with any text for the image's configuration. */
export function archiveOf(reference: string, configuration: string, layers: readonly Layer[]): NodeJS.ReadableStream {
  const archive = pack();
  const file = ({ digest }: Layer) => `${digest.replace("sha256:", "")}.tar.gz`;
  for (const layer of new Set(layers)) archive.entry({ name: file(layer) }, layer.content);
  archive.entry({ name: "config.json" }, configuration);
  const manifest = [{ Config: "config.json", RepoTags: [reference], Layers: layers.map(file) }];
  archive.entry({ name: "manifest.json" }, JSON.stringify(manifest));
  archive.finalize();
  return archive as unknown as NodeJS.ReadableStream;
}
