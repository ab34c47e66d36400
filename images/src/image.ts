import { printable } from "portshim/internal";
import { answered, ask, type Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Platform } from "./shim.js";

/** An image's configuration, as far as it matters here. None of it is trusted. */
export interface Image extends Platform {
  /** The name or id that the user gave. */
  readonly reference: string;
  /** Hexadecimal. */
  readonly id: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Empty: root. */
  readonly user: string;
  readonly environment: ReadonlyMap<string, string>;
  /** In the image's notation: `80/tcp`. */
  readonly ports: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Its ONBUILD instructions; podman does not report them. */
  readonly triggers: readonly string[];
}

/** Most characters of a configuration: with 100,000 labels podman needs minutes for a container. */
const LARGEST_CONFIGURATION = 256 * 1024;

/** The engines' PATH for containers whose image has none. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Looks up one of the engine's images.
 *
 * Throws ImagesError, `no-image` among others.
 */
export async function lookUp(engine: Engine, reference: string): Promise<Image> {
  const shown = printable(reference);
  const { Id, Config, Os, Architecture } = await ask(engine, `look at ${shown}`, async () => {
    try {
      return await engine.docker.getImage(encodeURIComponent(reference)).inspect();
    } catch (error) {
      if (!answered(error) || (error as { statusCode: number }).statusCode !== 404) throw error;
      throw new ImagesError("no-image", shown, `Fetch it first: ${engine.program} pull ${shown}`);
    }
  });
  if (JSON.stringify(Config).length > LARGEST_CONFIGURATION) {
    const most = `${LARGEST_CONFIGURATION / 1024} KiB`;
    throw new ImagesError("bad-image", `its configuration holds more than ${most}`);
  }
  return {
    reference,
    id: Id.replace(/^sha256:/, ""),
    entrypoint: list(Config.Entrypoint),
    command: list(Config.Cmd),
    user: Config.User ?? "",
    environment: new Map((Config.Env ?? []).map(assignment)),
    ports: Object.keys(Config.ExposedPorts ?? {}),
    labels: Config.Labels ?? {},
    system: Os,
    architecture: Architecture,
    triggers: list(Config.OnBuild),
  };
}

function list(words: string | readonly string[] | null | undefined): readonly string[] {
  return typeof words === "string" ? [words] : (words ?? []);
}

function assignment(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** Most folders of a PATH that are searched: the engine is asked about each. */
const MOST_FOLDERS = 50;

/** The folders of the image's PATH, the first ones. */
export function searchPath(image: Image): string[] {
  const folders = (image.environment.get("PATH") ?? DEFAULT_PATH).split(":").filter((folder) => folder.startsWith("/"));
  return [...new Set(folders)].slice(0, MOST_FOLDERS);
}

/** Whether the image's user is root, by name or by number. */
export function isRoot(user: string): boolean {
  return /^(0|root)?(:|$)/.test(user);
}
