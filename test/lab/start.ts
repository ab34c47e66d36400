import { machine } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import type { Lab, Result } from "./lab.js";

/** The setting. */
export const NAME = "net.ipv4.ip_unprivileged_port_start";
const FILE = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/** The lab's image with everything but Node and portshim. */
export const BASE = "localhost/portshim-lab/base:1";

/** What follows portshim's options where only the start counts. */
export const STARTED = ["--", "/bin/sh", "-c", "echo started"];

/** The host's command that polkit is asked about, as it shows it. */
export const ASKED = `/usr/sbin/sysctl -w ${NAME}=80`;

/** The one thing to do on the host if portshim cannot. */
export const BY_HAND = `Run this on the host, then start again:\n    sudo sysctl -w ${NAME}=80\n`;

/** The toolbox's bridge, where Debian has it. */
export const FLATPAK_SPAWN = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";

/** What follows portshim's options in a container: the command prints the value, and that it was started. */
export const SEE = ["--", "/bin/sh", "-c", `echo "started at $(cat ${FILE})"`];

/** A container's user as an image's own USER, unknown to the host, and without a bus. */
export const ANOTHER = ["--user", "1000"];
export const HOST_NETWORK = ["--network", "host"];

/** podman's and docker's options that put portshim, as in an image, and a file that asks for 80 into a container. */
export async function shimAndFile(lab: Lab): Promise<string[]> {
  const { repository } = lab;
  await lab.writeFile("host", "/etc/portshim-test/80-web.conf", `${NAME}=80\n`);
  return [
    ...["--volume", `${repository}/shim/launcher/portshim-${machine()}:/usr/local/bin/portshim:ro`],
    ...["--volume", `${repository}/shim/lib:/usr/local/lib/portshim:ro`],
    ...["--volume", `${repository}/test/fixture:/srv:ro`],
    ...["--volume", "/etc/portshim-test:/etc/sysctl.d:ro"],
  ];
}

/** Saves images of the user's podman where another podman and docker can load them. */
export async function saveImages(lab: Lab, ...images: string[]): Promise<string> {
  const file = "/tmp/images.tar";
  const argv = ["podman", "save", "--quiet", "--multi-image-archive", "--output", file, ...images];
  const { status, stderr } = await lab.asUser(argv, { timeout: 60_000 });
  assert.is(status, 0, stderr);
  return file;
}

/** What polkit is asked while `work` runs. */
export async function askedDuring(lab: Lab, work: () => Promise<unknown>): Promise<string[]> {
  const before = (await lab.prompts()).length;
  await work();
  return (await lab.prompts()).slice(before);
}

/** Asserts that nobody was asked, and that the host's value is still 1024. */
export async function untouched<T>(lab: Lab, run: () => Promise<T>): Promise<T> {
  const prompts = (await lab.prompts()).length;
  const result = await run();
  assert.equal([await lab.threshold(), (await lab.prompts()).length], [1024, prompts]);
  return result;
}

/** Asserts that the command was started at this value, and that portshim said nothing but `said`. */
export function assertStarted(run: Result, value: number | "", said = /^$/): void {
  assert.equal([run.status, run.stdout], [0, `started at ${value}\n`], run.stderr);
  assert.match(run.stderr, said);
}

/** Waits, for ten seconds at most, for what a server on this port of the host answers. */
export async function answer(lab: Lab, port: number): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return (await lab.fetch(port)).body;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
}
