import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { NAME } from "../shim/lib/lock.js";
import { NODE_VERSIONS, node, ROOT } from "./need.js";
import { suite } from "./suite.js";

const test = suite("lock", "root", "nodes");

// In a network namespace of its own, since the lock's name lives there: a person's portshim must not meet the test's.
const driver = join(ROOT, "build", "lock-driver.js");

interface Taker {
  readonly child: ChildProcess;
  /** The next line it says. */
  says(): Promise<string>;
  tell(line: string): void;
}

/** A network namespace that lasts as long as its keeper, which is what the takers join. */
function namespace(): ChildProcess {
  return spawn("unshare", ["--net", "sleep", "60"], { stdio: "ignore" });
}

function taker(keeper: ChildProcess, version: (typeof NODE_VERSIONS)[number], ...argv: string[]): Taker {
  const enter = ["--target", String(keeper.pid), "--net", "--", node(version), driver, ...argv];
  const child = spawn("nsenter", enter, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let rest = "";
  child.stdout.on("data", (chunk) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      const next = waiting.shift();
      if (next) next(line);
      else lines.push(line);
    }
  });
  return {
    child,
    says: () => {
      const line = lines.shift();
      return line === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(line);
    },
    tell: (line) => child.stdin.write(`${line}\n`),
  };
}

let keeper: ChildProcess;
const children: ChildProcess[] = [];
test.before.each(async () => {
  keeper = namespace();
  await new Promise((resolve) => setTimeout(resolve, 200));
});
test.after.each(() => {
  for (const child of [keeper, ...children.splice(0)]) child.kill("SIGKILL");
});

for (const holder of NODE_VERSIONS) {
  test(`held by Node ${holder}: all the others wait, and learn that it ended well`, async () => {
    const first = taker(keeper, holder);
    assert.is(await first.says(), "lock");
    const others = NODE_VERSIONS.map((version) => taker(keeper, version));
    for (const other of others) assert.is(await other.says(), "waiting");
    first.tell("release");
    for (const other of others) {
      assert.is(await other.says(), "over");
    }
  });
}

test("a refusal is adopted by those who wait, as one line", async () => {
  const first = taker(keeper, 20);
  assert.is(await first.says(), "lock");
  const other = taker(keeper, 26);
  assert.is(await other.says(), "waiting");
  first.tell("refuse not\u001b[31m today");
  assert.is(await other.says(), "refusal not [31m today");
});

test("and by those who come a moment later", async () => {
  const first = taker(keeper, 26);
  assert.is(await first.says(), "lock");
  first.tell("refuse no");
  assert.is(await taker(keeper, 20).says(), "refusal no");
});

test("a holder that is killed frees it", async () => {
  const first = taker(keeper, 26);
  assert.is(await first.says(), "lock");
  const other = taker(keeper, 20);
  assert.is(await other.says(), "waiting");
  first.child.kill("SIGKILL");
  assert.is(await other.says(), "over");
  other.tell("again");
  assert.is(await other.says(), "lock");
});

for (const version of NODE_VERSIONS) {
  test(`of two workers of one cluster by Node ${version} one holds it`, async () => {
    const workers = taker(keeper, version, "cluster");
    assert.equal([await workers.says(), await workers.says()].sort(), ["lock", "waiting"]);
  });
}

for (const stranger of ["silent", "chatty", "endless"]) {
  test(`a ${stranger} stranger on the name costs two seconds at most`, async () => {
    const squatter = taker(keeper, 26, stranger);
    assert.is(await squatter.says(), "squatting");
    const started = process.hrtime.bigint();
    const other = taker(keeper, 26);
    // The others are known for strangers at their first word.
    if (stranger === "silent") assert.is(await other.says(), "waiting");
    assert.is(await other.says(), "stranger");
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    // Two seconds of patience, and a Node's start on a busy machine.
    assert.ok(seconds < 4, `${seconds} s`);
  });
}

/** Takes the name and does not listen, which Node cannot do. */
const UNLISTENING = `
  socket(my $s, 1, 1, 0) or die; bind($s, pack("S a*", 1, $ARGV[0])) or die "bind: $!";
  $| = 1; print "squatting\\n"; sleep 60;`;

for (const kind of ["unlistening", "hasty", "polite", "silent"]) {
  test(`who sits on the name as one who is ${kind} does not keep anybody from working`, async () => {
    const squatter =
      kind === "unlistening"
        ? spawn(
            "nsenter",
            [
              "--target",
              String(keeper.pid),
              "--net",
              "perl",
              "-e",
              `$ARGV[0] =~ s/^@/\\0/; ${UNLISTENING}`,
              NAME.replace("\0", "@"),
            ],
            {
              stdio: ["ignore", "pipe", "inherit"],
            },
          )
        : taker(keeper, 26, kind).child;
    children.push(squatter);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const began = Date.now();
    const worker = taker(keeper, 26, "work", "1500");
    assert.is(await worker.says(), "worked");
    assert.ok(Date.now() - began < 6000, `${Date.now() - began} ms`);
  });
}

test.run();
