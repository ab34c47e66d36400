import type { Lab } from "./lab.js";

/** Where a container made with hostNetwork() has the stub. */
export const CONTAINERS_STUB = "/opt/portshim/portshim";

/** podman's options for a container in the host's network, with the session bus, portshim and a Node on its PATH. */
export function hostNetwork({ repository, uid }: Lab): string[] {
  const socket = `/run/user/${uid}/bus`;
  return [
    ...["--network", "host", "--volume", `${socket}:${socket}`],
    ...["--env", `DBUS_SESSION_BUS_ADDRESS=unix:path=${socket}`],
    ...["--volume", `${repository}/shim:/opt/portshim:ro`],
    ...["--volume", `${repository}/node_modules/node26/bin/node:/usr/local/bin/node:ro`],
  ];
}
