import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { printable } from "portshim/internal";
import { type Pack, pack } from "tar-stream";
import { ImagesError } from "./failure.js";

/** A file of a build context. */
export interface ContextFile {
  /** Relative, with slashes. */
  readonly path: string;
  readonly content: Buffer;
  readonly executable: boolean;
}

/**
 * A build context as a tar archive. The same files give the same bytes, whoever packs them and when: sorted, with fixed
 * times, owners and modes.
 */
export function packContext(files: readonly ContextFile[], date = new Date(0)): Pack {
  const entries = new Map<string, ContextFile | undefined>();
  for (const file of files) {
    const parts = file.path.split("/");
    for (let depth = 1; depth < parts.length; depth++) entries.set(parts.slice(0, depth).join("/"), undefined);
    entries.set(file.path, file);
  }
  const names = [...entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const archive = pack();
  for (const name of names) add(archive, name, entries.get(name), date);
  archive.finalize();
  return archive;
}

function add(archive: Pack, name: string, file: ContextFile | undefined, mtime: Date): void {
  const fixed = { mtime, uid: 0, gid: 0, uname: "", gname: "" };
  if (file === undefined) archive.entry({ ...fixed, name: `${name}/`, type: "directory", mode: 0o755 });
  else archive.entry({ ...fixed, name, mode: file.executable ? 0o755 : 0o644 }, file.content);
}

/**
 * The files in a folder and those below it.
 *
 * Throws ImagesError `bad-context`.
 */
export function folderFiles(folder: string, prefix = ""): ContextFile[] {
  return readdirSync(folder, { encoding: "buffer" }).flatMap((bytes): ContextFile[] => {
    const name = bytes.toString("utf8");
    const shown = printable(join(folder, name));
    // The archive's names are UTF-8: others would be changed.
    if (!Buffer.from(name).equals(bytes)) throw new ImagesError("bad-context", `the name of ${shown} is not UTF-8`);
    const path = join(folder, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isDirectory()) return folderFiles(path, `${prefix}${name}/`);
    if (!status?.isFile()) throw new ImagesError("bad-context", `${shown} is neither a file nor a folder`);
    return [{ path: `${prefix}${name}`, content: readFileSync(path), executable: (status.mode & 0o100) !== 0 }];
  });
}
