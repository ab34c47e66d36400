import { type DropIns, readDropIns } from "./dropins.js";
import type { Engine } from "./engine.js";
import type { Files } from "./files.js";
import type { Image } from "./image.js";
import { findNode, type ImageNode } from "./node.js";

/** An image's configuration, and what matters in its files. */
export interface Inspection {
  readonly image: Image;
  readonly node: ImageNode | undefined;
  readonly dropIns: DropIns;
}

export async function inspect(engine: Engine, image: Image, files: Files): Promise<Inspection> {
  const [node, dropIns] = await Promise.all([findNode(engine, image, files), readDropIns(files)]);
  return { image, node, dropIns };
}
