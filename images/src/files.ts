import type { IncomingMessage } from "node:http";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import type { Container } from "dockerode";
import { printable } from "portshim/internal";
import { type Extract, extract } from "tar-stream";
import { answered, ask, type Engine, reason, throwIfInterrupted } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Image } from "./image.js";

/** A file of an image. */
interface Found {
  /** Its path, with all links followed. */
  readonly path: string;
  /** It is a file, and somebody can execute it. */
  readonly isExecutable: boolean;
}

/** An entry of one of the image's folders. */
interface FolderEntry {
  readonly name: string;
  /** A file's content; undefined if it is not a file, or too long. */
  readonly content: Buffer | undefined;
  /** A symbolic link's target. */
  readonly target: string | undefined;
}

/** An image's files, read without running the image. */
export interface Files {
  /** Undefined if there is no such file. */
  find(path: string): Promise<Found | undefined>;
  /** Undefined if there is no such file, or it is too long. */
  read(path: string): Promise<Buffer | undefined>;
  /** Empty if there is no such folder. */
  folder(path: string): Promise<FolderEntry[]>;
}

/** Most bytes that are read: configuration files are short, and an image is not trusted. */
const LONGEST_FILE = 4 * 1024 * 1024;

/** Most entries of a folder, and bytes in it, read or not: all of it comes through the engine. */
const MOST_ENTRIES = 1000;
const LARGEST_FOLDER = 16 * 1024 * 1024;

// The bits of Go's io/fs.FileMode, which the engines use.
const LINK = 2 ** 27;
/** Folders, devices, pipes, sockets and unknown ones. */
const NO_FILE = 2 ** 31 + 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21 + 2 ** 19;

/** Calls `use` with the image's files: those of a container that is never started, and removed afterwards. */
export async function withFiles<T>(engine: Engine, image: Image, use: (files: Files) => Promise<T>): Promise<T> {
  const what = `look into ${printable(image.reference)}`;
  const container = await ask(engine, what, () =>
    // A container needs a command, and the image may have none.
    engine.docker.createContainer({ Image: image.id, Entrypoint: ["/never-started"], Cmd: [], NetworkDisabled: true }),
  );
  try {
    return await ask(engine, what, () => use(filesOf(container, engine.signal)));
  } finally {
    await discard(container);
  }
}

/** Removes a container, running or not; ignores failures. */
export async function discard(container: Container): Promise<void> {
  await container.remove({ force: true, v: true }).catch(() => {});
}

function filesOf(container: Container, signal: AbortSignal): Files {
  async function find(path: string): Promise<Found | undefined> {
    const status = await stat(path);
    // linkTarget has all links followed; for the path itself docker shows the link.
    const followed = status && isKind(status.mode, LINK) ? await stat(status.linkTarget) : status;
    if (followed === undefined || isKind(followed.mode, LINK)) return undefined;
    const isExecutable = !isKind(followed.mode, NO_FILE) && (followed.mode & 0o111) !== 0;
    return { path: status?.linkTarget || path, isExecutable };
  }

  async function stat(path: string): Promise<{ mode: number; linkTarget: string } | undefined> {
    // The image decides how many files are looked for: it can take long.
    throwIfInterrupted(signal);
    const response = (await orMissing(container.infoArchive({ path }))) as IncomingMessage | undefined;
    response?.resume();
    const header = response?.headers["x-docker-container-path-stat"];
    return header === undefined ? undefined : JSON.parse(Buffer.from(String(header), "base64").toString());
  }

  /** What is at a path and, if it is wanted, below it; names start with the path's last part. */
  async function entries(path: string, most: number): Promise<FolderEntry[]> {
    const found = await archived(path, most);
    if (found[0]?.target === undefined) return found;
    // docker archives the link, podman what it leads to.
    const linked = await find(path);
    return linked ? archived(linked.path, most) : [];
  }

  async function archived(path: string, most: number): Promise<FolderEntry[]> {
    throwIfInterrupted(signal);
    const archive = (await orMissing(container.getArchive({ path }))) as Readable | undefined;
    if (archive === undefined) return [];
    const reader = extract();
    archive.on("error", (error) => reader.destroy(error));
    archive.pipe(reader);
    try {
      return await taken(reader, path, most);
    } finally {
      // The engine need not send the rest.
      archive.destroy();
    }
  }

  async function taken(reader: Extract, path: string, most: number): Promise<FolderEntry[]> {
    const found: FolderEntry[] = [];
    let bytes = 0;
    for await (const entry of reader) {
      const { name, type, linkname, size = 0 } = entry.header;
      bytes += size;
      if (most > 1 && (found.length === most || bytes > LARGEST_FOLDER)) {
        const limits = `${MOST_ENTRIES} files or ${LARGEST_FOLDER / 2 ** 20} MiB`;
        throw new ImagesError("bad-image", `its ${printable(path)} holds more than ${limits}`);
      }
      const isRead = type === "file" && size <= LONGEST_FILE;
      const parts: Buffer[] = [];
      if (isRead) for await (const part of entry) parts.push(part as Buffer);
      else if (most > 1) entry.resume();
      found.push({
        name: name.replace(/\/$/, ""),
        content: isRead ? Buffer.concat(parts) : undefined,
        target: type === "symlink" ? (linkname ?? undefined) : undefined,
      });
      if (most === 1) break;
    }
    return found;
  }

  return {
    find,
    read: async (path) => (await entries(path, 1))[0]?.content,
    folder: async (path) => {
      const inside = (await entries(path, MOST_ENTRIES)).filter(({ name }) => name.split("/").length === 2);
      return inside.map((entry) => ({ ...entry, name: posix.basename(entry.name) }));
    },
  };
}

function isKind(mode: number, kinds: number): boolean {
  return (mode & kinds) >>> 0 !== 0;
}

async function orMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (answered(error) && (error as { statusCode: number }).statusCode === 404) return undefined;
    // podman's 500 for links that loop, which lead nowhere.
    if (answered(error) && /too many levels of symbolic links/.test(reason(error))) return undefined;
    throw error;
  }
}
