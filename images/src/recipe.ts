import { join } from "node:path";
import { type ContextFile, folderFiles } from "./context.js";
import { HELPER, helperFiles, LAUNCHER, launcherFile, type Platform } from "./shim.js";

/** An image that portshim-images can build. */
export interface Recipe {
  readonly name: string;
  readonly what: string;
  /** The image's name. */
  readonly reference: { readonly name: string; readonly tag: string };
  /** The recipes whose images it is built from. */
  readonly needs: readonly string[];
  /**
   * The build context for a platform: a Containerfile and what it copies.
   *
   * Throws ImagesError `no-launcher`.
   */
  files(platform: Platform): ContextFile[];
  /** How to use the image; empty: as any server's. */
  readonly next: string;
}

const FOLDER = join(__dirname, "..", "recipes");

/** The recipes; most of each is in recipes/NAME. */
export const RECIPES: readonly Recipe[] = [
  {
    name: "layer",
    what: "portshim alone, for other images to copy",
    reference: { name: "localhost/portshim", tag: "latest" },
    needs: [],
    files: (platform) => [
      ...folderFiles(join(FOLDER, "layer")),
      launcherFile(platform, `rootfs${LAUNCHER}`),
      ...helperFiles(`rootfs${HELPER}`),
    ],
    next: "In a Containerfile:\n    COPY --from=localhost/portshim / /",
  },
  {
    name: "toolbox",
    what: "a toolbox with Node.js and portshim",
    reference: { name: "localhost/portshim-toolbox", tag: "latest" },
    needs: ["layer"],
    files: () => folderFiles(join(FOLDER, "toolbox")),
    next: "Try it:\n    toolbox create --image localhost/portshim-toolbox:latest web && toolbox enter web",
  },
  {
    name: "node",
    what: "an example: a server that is not root, on port 80",
    reference: { name: "localhost/portshim-node", tag: "latest" },
    needs: ["layer"],
    files: () => folderFiles(join(FOLDER, "node")),
    next: "",
  },
];
