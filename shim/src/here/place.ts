import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Who can change the threshold of this place if portshim cannot: see remedy.ts. */
export type Manager = "host" | "podman" | "docker" | "rootless docker" | "kubernetes";

/** Where portshim runs, and how it was recognized. */
export interface Place {
  readonly name: string;
  /** For messages: "a toolbox". */
  readonly what: string;
  /** The file or variable that shows it. */
  readonly evidence: string;
  /** "no": a container, whose host is behind a bridge. "maybe": taken for the host if there is no bridge. */
  readonly isHost: "yes" | "no" | "maybe";
  /** Places of this kind always share the host's network. */
  readonly sharesNetwork: boolean;
  /** Created by a user's own podman, as far as we see: on the host that user owns its network namespace. */
  readonly byUsersPodman: boolean;
  readonly managedBy: Manager;
  /** The host's /run/user, if it is not at /run/user: an init in the container has its own. */
  readonly hostSessions?: string;
  /** The host's root directory as seen from here, if `portshim persist` can change its files: "/" on the host. */
  readonly hostRoot?: string;
}

/** How our network namespace stands to the host's. */
export type Network = "hosts" | "own" | "unknown";

/** Where evidence is looked for. */
interface Scene {
  /** Whether this absolute path exists. */
  has(path: string): boolean;
  /** A file's text, or a link's target; "" if there is none. */
  text(path: string): string;
  link(path: string): string;
  readonly env: NodeJS.ProcessEnv;
}

interface Kind extends Omit<Place, "evidence"> {
  /** The file or variable that shows this place; undefined: we are elsewhere. */
  evidence(scene: Scene): string | undefined;
}

/** The host's root directory in a toolbox or a distrobox. */
export const HOST_ROOT = "/run/host";

/** systemd-logind's folders for each user, which hold the socket of the session bus. */
export const SESSIONS = "/run/user";

/** Exists if systemd is the init (sd_booted(3)). */
const SYSTEMD = "/run/systemd/system";

/** distrobox create mounts it into every container. */
const DISTROBOX_PROGRAM = "/usr/bin/distrobox-host-exec";

const CONTAINER = { isHost: "no", sharesNetwork: false, byUsersPodman: false } as const;
const DESKTOP = { isHost: "no", sharesNetwork: true, byUsersPodman: true, managedBy: "host" } as const;

const DISTROBOX = {
  name: "distrobox",
  ...DESKTOP,
  hostRoot: HOST_ROOT,
  // By default: distrobox create --unshare-netns gives it its own.
  sharesNetwork: false,
} as const;

/** Inode of the initial PID namespace: PROC_PID_INIT_INO in include/linux/proc_ns.h. */
const INITIAL_PID_NAMESPACE = "pid:[4026531836]";

/** In order, the more specific first. */
const PLACES: readonly Kind[] = [
  { name: "flatpak", what: "a flatpak", ...DESKTOP, evidence: file("/.flatpak-info") },
  {
    ...DISTROBOX,
    what: "a distrobox with its own systemd",
    hostSessions: join(HOST_ROOT, SESSIONS),
    evidence: (scene) => {
      const found = scene.has(SYSTEMD) ? evidenceOfDistrobox(scene) : undefined;
      return found === undefined ? undefined : `${found}, and ${SYSTEMD}`;
    },
  },
  { ...DISTROBOX, what: "a distrobox", evidence: evidenceOfDistrobox },
  { name: "toolbox", what: "a toolbox", ...DESKTOP, hostRoot: HOST_ROOT, evidence: file("/run/.toolboxenv") },
  {
    name: "kubernetes",
    what: "a Kubernetes pod",
    ...CONTAINER,
    managedBy: "kubernetes",
    evidence: ({ has, env }) => {
      const account = "/var/run/secrets/kubernetes.io/serviceaccount";
      if (env.KUBERNETES_SERVICE_HOST) return "KUBERNETES_SERVICE_HOST";
      return has(account) ? account : undefined;
    },
  },
  {
    name: "rootless docker",
    what: "a rootless docker container",
    ...CONTAINER,
    managedBy: "rootless docker",
    evidence: (scene) =>
      isDockers(scene) && !ownsAllUsers(scene.text("/proc/self/uid_map"))
        ? "/.dockerenv, and a user namespace"
        : undefined,
  },
  {
    name: "docker",
    what: "a docker container",
    ...CONTAINER,
    managedBy: "docker",
    evidence: (scene) => (isDockers(scene) ? "/.dockerenv" : undefined),
  },
  {
    name: "rootless podman",
    what: "a rootless podman container",
    ...CONTAINER,
    byUsersPodman: true,
    managedBy: "podman",
    evidence: ({ has, text }) =>
      has("/run/.containerenv") && !ownsAllUsers(text("/proc/self/uid_map"))
        ? "/run/.containerenv, and a user namespace"
        : undefined,
  },
  {
    name: "rootful podman",
    what: "a rootful podman container",
    ...CONTAINER,
    managedBy: "podman",
    evidence: file("/run/.containerenv"),
  },
  {
    name: "host",
    what: "the host itself",
    isHost: "yes",
    hostRoot: "/",
    sharesNetwork: true,
    byUsersPodman: false,
    managedBy: "host",
    evidence: ({ has, link, env }) => {
      if (env.container) return undefined;
      if (has(SYSTEMD)) return SYSTEMD;
      return link("/proc/self/ns/pid") === INITIAL_PID_NAMESPACE ? "the initial PID namespace" : undefined;
    },
  },
  {
    name: "unknown",
    what: "neither a host nor a container that portshim knows",
    isHost: "maybe",
    sharesNetwork: false,
    byUsersPodman: true,
    managedBy: "host",
    evidence: () => "no sign of any other",
  },
];

function file(path: string): Kind["evidence"] {
  return ({ has }) => (has(path) ? path : undefined);
}

/** A distrobox also has a toolbox's mark, and a toolbox can have distrobox installed; but only distrobox mounts it. */
function evidenceOfDistrobox({ has, text, env }: Scene): string | undefined {
  if (!has(DISTROBOX_PROGRAM)) return undefined;
  if (isMountPoint(DISTROBOX_PROGRAM, text("/proc/self/mountinfo"))) return `${DISTROBOX_PROGRAM}, mounted`;
  // If mountinfo does not help. sudo removes both variables.
  const variable = ["CONTAINER_ID", "DISTROBOX_ENTER_PATH"].find((name) => env[name]);
  const isContainer = has("/run/.containerenv") || has("/.dockerenv");
  return variable && isContainer ? `${variable} and ${DISTROBOX_PROGRAM}` : undefined;
}

/** proc_pid_mountinfo(5): the mount point is the fifth field. */
function isMountPoint(path: string, mountinfo: string): boolean {
  return mountinfo.split("\n").some((line) => line.split(" ")[4] === path);
}

function isDockers({ has, text }: Scene): boolean {
  return has("/.dockerenv") && !isWholeDisk(text("/proc/self/mountinfo"));
}

/** A virtual machine or WSL made from an image's files keeps /.dockerenv; but its root is a disk, not layers. */
function isWholeDisk(mountinfo: string): boolean {
  // proc_pid_mountinfo(5): id, parent, device, root in that filesystem, mount point, … - type, source.
  return /^\d+ \d+ \S+ \/ \/ .* - \S+ \/dev\/\S+/m.test(mountinfo);
}

/** The initial user namespace maps every id to itself (user_namespaces(7)); rootless containers run in another. */
function ownsAllUsers(map: string): boolean {
  return map === "" || /^\s*0\s+0\s+4294967295\s*$/.test(map);
}

/** Recognizes the place by the files below `root` and the environment. */
export function place(env: NodeJS.ProcessEnv, root = "/"): Place {
  const scene: Scene = {
    env,
    has: (path) => existsSync(join(root, path)),
    text: (path) => attempt(() => readFileSync(join(root, path), "latin1")),
    link: (path) => attempt(() => readlinkSync(join(root, path))),
  };
  for (const { evidence, ...kind } of PLACES) {
    const found = evidence(scene);
    if (found !== undefined) return { ...kind, evidence: found };
  }
  throw new Error("the last place in the table needs no evidence");
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

/**
 * The inode of a process's network namespace, unique on the machine (namespaces(7)); undefined if /proc does not tell.
 */
export function networkNamespaceOf(process: number | "self"): number | undefined {
  const link = attempt(() => readlinkSync(`/proc/${process}/ns/net`));
  const digits = /^net:\[([1-9]\d{0,14})\]$/.exec(link)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
