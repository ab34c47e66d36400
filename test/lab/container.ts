import { machine } from "node:os";
import type { Lab } from "./lab.js";

/** The launcher's path in a container made with withPortshim(). */
export const CONTAINERS_PORTSHIM = `/opt/portshim/launcher/portshim-${machine()}`;

/** podman's options for a container with portshim, and a Node on its PATH. */
export function withPortshim({ repository, nodes }: Lab): string[] {
  return [
    ...["--volume", `${repository}/shim:/opt/portshim:ro`],
    ...["--volume", `${nodes}/node26/bin/node:/usr/local/bin/node:ro`],
  ];
}

/** podman's options for such a container in the host's network, with the session bus. */
export function hostNetwork(lab: Lab): string[] {
  const socket = `/run/user/${lab.uid}/bus`;
  return [
    ...["--network", "host", "--volume", `${socket}:${socket}`],
    ...["--env", `DBUS_SESSION_BUS_ADDRESS=unix:path=${socket}`],
    ...withPortshim(lab),
  ];
}
