import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { extract } from "tar-stream";
import { type ContextFile, packContext } from "../context.js";

/** A tar archive: the same files and date give the same bytes. */
export function tar(files: readonly ContextFile[], date: Date): Promise<Buffer> {
  return buffer(packContext(files, date));
}

/** By gzip(1), whose output is the same everywhere: that of Node's zlib depends on its version and on the processor. */
export function gzip(content: Buffer): Buffer {
  return execFileSync("gzip", ["-9n"], { input: content, maxBuffer: 2 ** 30 });
}

/** The files of an npm package's tarball, with modes that do not depend on the umask. */
export async function npmFiles(tarball: string): Promise<ContextFile[]> {
  const files: ContextFile[] = [];
  const content = execFileSync("gzip", ["-dc", tarball], { maxBuffer: 2 ** 30 });
  for await (const entry of Readable.from([content]).pipe(extract())) {
    const { name, mode = 0 } = entry.header;
    files.push({ path: name, content: await buffer(entry), executable: (mode & 0o100) !== 0 });
  }
  return files;
}

/** A file with this name and the content of another. */
export function copyOf(source: string, path: string): ContextFile {
  return { path, content: readFileSync(source), executable: false };
}
