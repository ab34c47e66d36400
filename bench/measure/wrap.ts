import { readFileSync } from "node:fs";
import { BUILD, type Data, WRAP } from "../report/results.js";
import { type Bench, must } from "./bench.js";
import { ENTRYPOINT, images, SERVER_IMAGE } from "./image.js";
import { type Commands, timer, timerCommand, timesOf } from "./timer.js";

const BUILT = "localhost/bench-built:1";
const WRAPPED = "localhost/bench-wrapped:1";
const WARM_UP = 1;

/** `portshim-images wrap` against the Containerfile that does the same, both in the lab. */
export async function wrap(bench: Bench): Promise<Data["wrap"]> {
  const { lab, engine } = await images(bench);
  must(["portshim-images", "build", "layer"], await engine.images(["build", "layer"]));
  const entrypoint = JSON.stringify(["portshim", "--", ...ENTRYPOINT]);
  const containerfile = `FROM ${SERVER_IMAGE}\nCOPY --from=localhost/portshim / /\nENTRYPOINT ${entrypoint}\n`;
  await lab.writeFile("user", "bench-image/Containerfile", containerfile);
  await lab.writeFile("user", "bench-timer", readFileSync(timer(bench)), 0o755);
  const commands: Commands = {
    // As users have it for a new version of their image: nothing of it is in podman's cache.
    [BUILD]: ["podman", "build", "--isolation=chroot", "--no-cache", "--quiet", `--tag=${BUILT}`, "bench-image"],
    [WRAP]: [
      `${lab.nodes}/node26/bin/node`,
      `${lab.repository}/images/portshim-images`,
      "wrap",
      SERVER_IMAGE,
      "-t",
      WRAPPED,
    ],
  };
  const rounds = bench.rounds(12);
  const argv = timerCommand("./bench-timer", commands, rounds, WARM_UP);
  const times = timesOf(must(argv, await lab.asUser(argv, { timeout: 600_000 })), commands, WARM_UP);
  const size = async (image: string) => {
    const command = ["podman", "image", "inspect", "--format", "{{.Size}}", image];
    return Number(must(command, await lab.asUser(command)));
  };
  const before = await size(SERVER_IMAGE);
  return { times, added: { [BUILD]: (await size(BUILT)) - before, [WRAP]: (await size(WRAPPED)) - before } };
}
