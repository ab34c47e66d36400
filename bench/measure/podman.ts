import { type Data, WITH, WITHOUT } from "../report/results.js";
import { type Bench, must, SETTING } from "./bench.js";
import { images, SERVER_IMAGE, WRAPPED_IMAGE } from "./image.js";
import { byName } from "./timer.js";

/** Prints a line a round, in the order of the images, which are the arguments after the number of rounds. */
const SCRIPT = `
  const { spawn } = require("child_process");
  const { get } = require("http");
  const { setTimeout: sleep } = require("timers/promises");
  const [rounds, ...images] = process.argv.slice(1);
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  const answers = () => new Promise((resolve) => {
    get("http://127.0.0.1:8080", { agent: false }, (response) => {
      response.resume().on("end", () => resolve(true)).on("error", () => resolve(false));
    }).on("error", () => resolve(false));
  });
  const measure = async (image) => {
    const options = ["--rm", "--sysctl", "${SETTING}=80", "--publish", "8080:80"];
    const start = now();
    const podman = spawn("podman", ["run", ...options, image], { stdio: ["ignore", "ignore", "inherit"] });
    const ended = new Promise((resolve) => podman.on("exit", resolve));
    while (!(await answers())) {
      if (podman.exitCode !== null) throw new Error(image + ": status " + podman.exitCode);
      await sleep(2);
    }
    const took = now() - start;
    podman.kill("SIGTERM");
    await ended;
    return took;
  };
  (async () => {
    for (let round = 0; round < Number(rounds); round++) {
      const line = [];
      for (const at of round % 2 ? [1, 0] : [0, 1]) line[at] = await measure(images[at]);
      console.log(...line);
    }
  })();
`;

const WARM_UP = 2;

/** `podman run` of a server until it answers, with portshim and without. */
export async function podman(bench: Bench): Promise<Data["podman"]> {
  const { lab } = await images(bench);
  const rounds = bench.rounds(240);
  const argv = [`${lab.nodes}/node26/bin/node`, "-e", SCRIPT, String(rounds + WARM_UP), SERVER_IMAGE, WRAPPED_IMAGE];
  const printed = must(argv, await lab.asUser(argv, { timeout: 60_000 + 10_000 * rounds }));
  const lines = printed.trim().split("\n").slice(WARM_UP);
  return byName(
    [WITHOUT, WITH],
    lines.map((line) => line.split(" ").map(Number)),
  );
}
