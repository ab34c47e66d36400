import { posix } from "node:path";
import { DIRECTORIES, LEGACY_FILE, resolveTexts } from "portshim/internal";
import { ImagesError } from "./failure.js";
import type { Files } from "./files.js";

/** An assignment of the threshold in one of the image's files. */
interface Asked {
  readonly file: string;
  readonly line: number;
  /** As written; the image's text. */
  readonly text: string;
  /** Undefined if it is invalid. */
  readonly value: number | undefined;
}

/** A sysctl.d file that an image carries. */
export interface DropIn {
  readonly file: string;
  /** The file of the same name, in a directory of higher priority, because of which this one is ignored. */
  readonly maskedBy: string | undefined;
  /** Its assignment of the threshold; undefined: it has none. */
  readonly asks: Asked | undefined;
}

/** An image's sysctl.d files. */
export interface DropIns {
  readonly files: readonly DropIn[];
  /** The assignment that decides. */
  readonly declared: Asked | undefined;
}

interface Text {
  /** Without the first slash. */
  readonly path: string;
  readonly content: Buffer;
}

/** Reads an image's sysctl.d files, as portshim does in a container of it. */
export async function readDropIns(files: Files): Promise<DropIns> {
  const count = counter();
  // At once, because podman needs a third of a second for each.
  const [legacy, ...folders] = await Promise.all([
    files.read(`/${LEGACY_FILE}`),
    ...DIRECTORIES.map((directory) => confs(files, directory, count)),
  ]);
  const texts = folders.flat();
  if (legacy) texts.push({ path: LEGACY_FILE, content: count(legacy) });

  const seen = new Map<string, string>();
  const listed = texts.map((text): DropIn => {
    const name = posix.basename(text.path);
    const maskedBy = text.path === LEGACY_FILE ? undefined : seen.get(name);
    if (text.path !== LEGACY_FILE && maskedBy === undefined) seen.set(name, `/${text.path}`);
    return { file: `/${text.path}`, maskedBy, asks: asked([text]) };
  });
  return { files: listed, declared: asked(texts) };
}

/** Most bytes of all these files, one that links lead to counted each time: an empty line takes 250 bytes of memory. */
const LARGEST_TEXT = 1024 * 1024;

/** A function that counts contents. It throws ImagesError once there are too many. */
function counter(): (content: Buffer) => Buffer {
  let bytes = 0;
  return (content) => {
    bytes += content.length;
    if (bytes <= LARGEST_TEXT) return content;
    throw new ImagesError("bad-image", `its sysctl.d files hold more than ${LARGEST_TEXT / 2 ** 20} MiB`);
  };
}

/** Most links in a folder: podman needs a third of a second for each. */
const MOST_LINKS = 100;

async function confs(files: Files, directory: string, count: (content: Buffer) => Buffer): Promise<Text[]> {
  const found: Text[] = [];
  const entries = (await files.folder(`/${directory}`)).filter(
    ({ name }) => name.endsWith(".conf") && !name.startsWith("."),
  );
  if (entries.filter(({ target }) => target !== undefined).length > MOST_LINKS) {
    throw new ImagesError("bad-image", `its /${directory} has more than ${MOST_LINKS} links`);
  }
  for (const { name, content, target } of entries) {
    // A broken link, or one to /dev/null, masks files of its name in other directories, like an empty file.
    const linked = target === undefined ? undefined : await files.read(posix.resolve(`/${directory}`, target));
    found.push({ path: `${directory}/${name}`, content: count(content ?? linked ?? Buffer.alloc(0)) });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The assignment that decides among these files. */
function asked(texts: readonly Text[]): Asked | undefined {
  const latin1 = (bytes: Buffer) => bytes.toString("latin1");
  const { declared, invalid } = resolveTexts(
    new Map(texts.map(({ path, content }) => [latin1(Buffer.from(path)), latin1(content)])),
  );
  return declared ?? invalid.at(-1);
}
