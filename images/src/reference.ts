import { printable } from "portshim/internal";
import type { Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Image } from "./image.js";

/** An image's name and tag. */
export interface Reference {
  readonly name: string;
  readonly tag: string;
}

/**
 * Parses the user's name for a new image.
 *
 * Throws ImagesError `bad-usage`.
 */
export function parseReference(text: string, engine: Engine): Reference {
  const [, name = "", tag = "latest"] = text.match(/^([^@\s]+?)(?::([\w][\w.-]{0,127}))?$/) ?? [];
  const parts = name.split("/");
  const [first = ""] = parts;
  const isRegistry = parts.length > 1 && (/[.:]/.test(first) || first === "localhost");
  const path = isRegistry ? parts.slice(1) : parts;
  if (!path.every((part) => /^[a-z0-9]+([._-]+[a-z0-9]+)*$/.test(part))) {
    throw new ImagesError("bad-usage", `"${printable(text)}" cannot be the name of an image: write NAME or NAME:TAG`);
  }
  return { name: isRegistry ? name : local(name, engine), tag };
}

/** As `podman build -t` does: its API reads a name without a registry as Docker Hub's. docker has no localhost/. */
function local(name: string, { program }: Engine): string {
  return program === "docker" ? name : `localhost/${name}`;
}

/**
 * The default name of a wrapped image.
 *
 * Throws ImagesError `bad-usage` if the image was given by its id.
 */
export function wrappedReference({ reference, id }: Image, engine: Engine): Reference {
  if (id.startsWith(reference.replace(/^sha256:/, ""))) {
    throw new ImagesError("bad-usage", "an image given by its id has no name to go by: say one with -t NAME:TAG");
  }
  const [named = "", digest] = reference.split("@");
  const [, base = "", tag] = named.match(/([^/:]+)(?::([^/:]+))?$/) ?? [];
  const old = tag ?? (digest === undefined ? "latest" : undefined);
  return { name: local(base, engine), tag: old === undefined ? "portshim" : `${old}-portshim` };
}

/** NAME:TAG. */
export function shownReference({ name, tag }: Reference): string {
  return `${name}:${tag}`;
}
