import { machine } from "node:os";
import type { Lab } from "./lab.js";

/** The launcher's path in a container made with withPortshim(). */
export const CONTAINERS_PORTSHIM = `/opt/portshim/launcher/portshim-${machine()}`;

/** podman's and docker's options that put Node into a container. */
export function nodeOf({ nodes }: Lab): string[] {
  return ["--volume", `${nodes}/node26/bin/node:/usr/local/bin/node:ro`];
}

/** Their options for the user's session bus. */
export function busOf({ uid }: Lab): string[] {
  const socket = `/run/user/${uid}/bus`;
  return ["--volume", `${socket}:${socket}`, "--env", `DBUS_SESSION_BUS_ADDRESS=unix:path=${socket}`];
}

/** podman's options for a container with portshim, and a Node on its PATH. */
export function withPortshim(lab: Lab): string[] {
  return [...["--volume", `${lab.repository}/shim:/opt/portshim:ro`], ...nodeOf(lab)];
}

/** podman's options for such a container in the host's network, with the session bus. */
export function hostNetwork(lab: Lab): string[] {
  return ["--network", "host", ...busOf(lab), ...withPortshim(lab)];
}
