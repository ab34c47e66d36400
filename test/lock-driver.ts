// Takes the lock as told by its standard input and says what came of it, a line each. With the argument `cluster` two
// workers do so; with `work` and milliseconds of patience it says when its turn has come; with any other it squats on the lock's name as a stranger would.
import cluster from "node:cluster";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { exclusively, type Lock, NAME, take } from "../shim/lib/lock.js";

const say = (line: string) => process.stdout.write(`${line}\n`);

const STRANGERS: Record<string, string> = {
  silent: "",
  chatty: "hello\n",
  endless: "x".repeat(100_000),
  polite: "portshim\n",
  hasty: "",
};

function squat(kind: string): void {
  createServer((socket) => {
    socket.on("error", () => {});
    if (kind === "hasty") socket.destroy();
    else socket.write(STRANGERS[kind] ?? "");
  }).listen(NAME, () => say("squatting"));
}

let lock: Lock | undefined;

async function tryIt(): Promise<void> {
  const waiting = setTimeout(() => say("waiting"), 100);
  const outcome = await take(60_000);
  clearTimeout(waiting);
  if (typeof outcome === "string") return void say(outcome);
  if ("refusal" in outcome) return void say(`refusal ${outcome.refusal}`);
  lock = outcome.lock;
  say("lock");
}

const [kind, patience] = process.argv.slice(2);
if (kind === "cluster" && cluster.isPrimary) {
  cluster.setupPrimary({ args: [] });
  for (let worker = 0; worker < 2; worker++) cluster.fork();
} else if (kind === "work") {
  const work = async () => void say("worked");
  exclusively(work, () => undefined, { patience: Number(patience) }).catch((error) => say(`${error}`));
} else if (kind !== undefined) squat(kind);
else {
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [order, ...rest] = line.split(" ");
    if (order === "release") lock?.release();
    else if (order === "refuse") lock?.release(rest.join(" "));
    else tryIt();
  });
  tryIt();
}
