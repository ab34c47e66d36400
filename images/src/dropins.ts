import { posix } from "node:path";
import { DIRECTORIES, LEGACY_FILE, resolveTexts } from "portshim/internal";
import type { Files } from "./files.js";

/** An assignment of the threshold in an image's file. */
interface Asked {
  readonly file: string;
  readonly line: number;
  /** As written; the image's text. */
  readonly text: string;
  /** Undefined where the kernel would refuse it. */
  readonly value: number | undefined;
}

/** A sysctl.d file that an image carries. */
export interface DropIn {
  readonly file: string;
  /** The stronger file of the same name, because of which this one does not count. */
  readonly maskedBy: string | undefined;
  /** What it asks for by itself; undefined: nothing about the threshold. */
  readonly asks: Asked | undefined;
}

/** What an image's sysctl.d files ask for. */
export interface DropIns {
  readonly files: readonly DropIn[];
  /** What wins. */
  readonly declared: Asked | undefined;
}

interface Text {
  /** Without the first slash. */
  readonly path: string;
  readonly content: Buffer;
}

/** Reads an image's sysctl.d files, as portshim would in it. */
export async function readDropIns(files: Files): Promise<DropIns> {
  // Each takes podman a third of a second.
  const [legacy, ...folders] = await Promise.all([
    files.read(`/${LEGACY_FILE}`),
    ...DIRECTORIES.map((directory) => confs(files, directory)),
  ]);
  const texts = folders.flat();
  if (legacy) texts.push({ path: LEGACY_FILE, content: legacy });

  const seen = new Map<string, string>();
  const listed = texts.map((text): DropIn => {
    const name = posix.basename(text.path);
    const maskedBy = text.path === LEGACY_FILE ? undefined : seen.get(name);
    if (text.path !== LEGACY_FILE && maskedBy === undefined) seen.set(name, `/${text.path}`);
    return { file: `/${text.path}`, maskedBy, asks: asked([text]) };
  });
  return { files: listed, declared: asked(texts) };
}

async function confs(files: Files, directory: string): Promise<Text[]> {
  const found: Text[] = [];
  for (const { name, content, target } of await files.folder(`/${directory}`)) {
    if (!name.endsWith(".conf") || name.startsWith(".")) continue;
    // A link that leads nowhere, or to /dev/null, still masks what has its name elsewhere: like an empty file.
    const linked = target === undefined ? undefined : await files.read(posix.resolve(`/${directory}`, target));
    found.push({ path: `${directory}/${name}`, content: content ?? linked ?? Buffer.alloc(0) });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What these files ask for together. */
function asked(texts: readonly Text[]): Asked | undefined {
  const latin1 = (bytes: Buffer) => bytes.toString("latin1");
  const { declared, invalid } = resolveTexts(
    new Map(texts.map(({ path, content }) => [latin1(Buffer.from(path)), latin1(content)])),
  );
  return declared ?? invalid.at(-1);
}
