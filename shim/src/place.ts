import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where portshim runs, and how that was told. */
export interface Place {
  readonly name: "toolbox" | "podman" | "host";
  /** For a sentence: "a toolbox". */
  readonly what: string;
  /** The file or variable that gave it away. */
  readonly evidence: string;
  /** The host is not behind a bridge: we are on it. */
  readonly isHost: boolean;
  /** Places of this kind never have a network of their own. */
  readonly sharesNetwork: boolean;
}

interface Kind extends Omit<Place, "evidence"> {
  /** What shows that we are in such a place; undefined: we are not. */
  evidence(root: string): string | undefined;
}

/** Tried in order: the more particular before the more general. */
const PLACES: readonly Kind[] = [
  { name: "toolbox", what: "a toolbox", isHost: false, sharesNetwork: true, evidence: file("/run/.toolboxenv") },
  {
    name: "podman",
    what: "a podman container",
    isHost: false,
    sharesNetwork: false,
    evidence: file("/run/.containerenv"),
  },
  {
    name: "host",
    what: "the host itself",
    isHost: true,
    sharesNetwork: true,
    evidence: () => "no sign of a container",
  },
];

function file(path: string): Kind["evidence"] {
  return (root) => (existsSync(join(root, path)) ? path : undefined);
}

/** Tells the place from the evidence below `root`; there is always one. */
export function place(root = "/"): Place {
  for (const { evidence, ...kind } of PLACES) {
    const found = evidence(root);
    if (found !== undefined) return { ...kind, evidence: found };
  }
  throw new Error("the last place in the table needs no evidence");
}
