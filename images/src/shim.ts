import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ContextFile } from "./context.js";

/** Where portshim's stub lies in an image. */
export const STUB = "/usr/local/bin/portshim";

/** Where its second half and its helper lie; the stub looks for them there. */
export const HELPER = "/usr/local/lib/portshim";

const root = dirname(require.resolve("portshim/package.json"));

/** portshim's stub, as the file `path` of a build context. */
export function stubFile(path: string): ContextFile {
  return { path, content: readFileSync(join(root, "portshim")), executable: true };
}

/** What the stub needs beside it, its second half and the compiled helper, below the folder `path` of a build context. */
export function helperFiles(path: string): ContextFile[] {
  return [root, join(root, "lib")].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /\.(js|sh)$/.test(name))
      .map((name) => ({ path: `${path}/${name}`, content: readFileSync(join(folder, name)), executable: false })),
  );
}
