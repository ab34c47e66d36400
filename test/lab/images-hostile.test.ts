import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { type Engine, NODE_IMAGE, startEngine } from "./engine.js";
import { type Lab, startLab } from "./lab.js";
import { NAME } from "./start.js";

const test = suite("images made to hurt portshim-images (ENTRIES=…)", "lab", "nodes");

/** How many small files; a million takes the engine minutes to make. */
const ENTRIES = Number(process.env.ENTRIES || 3000);

let lab: Lab;
let engine: Engine;

test.before(async () => {
  lab = await startLab();
  engine = await startEngine(lab);
});
test.after(() => lab.stop());

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const UNSAFE = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]|^\s+at .*:\d+/m;

/** Has an image made, and checked; whatever it holds, what is said is safe, and soon. */
async function checked(name: string, instructions: string, command = "check") {
  const image = `localhost/hostile-${name}:1`;
  await engine.build(image, `FROM ${NODE_IMAGE}\n${instructions}\n`);
  const before = await engine.holdings();
  const started = Date.now();
  const { status, stdout, stderr } = await engine.images([command, image], { timeout: 120_000 });
  assert.ok(Date.now() - started < 60_000, `${Date.now() - started} ms`);
  assert.not.match(stdout + stderr, UNSAFE);
  assert.ok(stdout.length + stderr.length < 20_000, `${stdout.length}`);
  assert.ok([0, 1].includes(status ?? -1), stderr);
  // Its container is removed.
  if (command === "check") assert.equal(await engine.holdings(), before);
  return { status, stdout, stderr };
}

const TOO_MUCH = (what: string) =>
  `portshim-images: the image is not one that can be read: its ${what} holds more than 1000 files or 64 MiB.\n`;

test("thousands of files, and one of hundreds of megabytes: a sentence", async () => {
  const make = `cd /etc/sysctl.d && seq -f %.0f.conf ${ENTRIES} | xargs touch`;
  assert.equal(await checked("many", `RUN ${make}`), { status: 1, stdout: "", stderr: TOO_MUCH("/etc/sysctl.d") });
  const large = "mkdir -p /usr/local/lib/sysctl.d && truncate -s 300M /usr/local/lib/sysctl.d/x.conf";
  assert.is((await checked("large", `RUN ${large}`)).stderr, TOO_MUCH("/usr/local/lib/sysctl.d"));
});

test("links that loop, or lead to everything", async () => {
  const links = [
    ...[
      "ln -sf sysctl.conf /etc/sysctl.conf",
      "ln -s b.conf /etc/sysctl.d/a.conf",
      "ln -s a.conf /etc/sysctl.d/b.conf",
    ],
    ...[
      "mkdir -p /usr/local/lib",
      "ln -s /usr/local/lib/sysctl.d /usr/local/lib/sysctl.d",
      "ln -s / /etc/sysctl.d/c.conf",
    ],
    ...["ln -s ../../../../../../etc/passwd /etc/sysctl.d/d.conf", "ln -s /proc/self/fd/0 /etc/sysctl.d/e.conf"],
    `echo ${NAME}=443 >/etc/sysctl.d/z.conf`,
  ];
  const { status, stdout, stderr } = await checked("links", `RUN ${links.join(" && ")}`);
  assert.is(status, 0, stderr);
  assert.match(stdout, "/etc/sysctl.d/z.conf:1 sets 443");
  // The whole image, if it were read.
  assert.match((await checked("root", "RUN ln -sf / /etc/sysctl.conf")).stderr, /^$/);
  const many = "cd /etc/sysctl.d && for n in $(seq 150); do ln -s /etc/passwd $n.conf; done";
  assert.match((await checked("all-links", `RUN ${many}`)).stderr, "its /etc/sysctl.d has more than 100 links");
});

test("names of every kind", async () => {
  const names = [
    "\\033[2J",
    "a\\nb",
    "\\342\\200\\256",
    "\\377",
    "..",
    "n".repeat(240),
    "a b",
    "-n",
    "'",
    '"',
    "\\t\\r",
  ];
  const make = names.map(
    (name) => `touch -- "$(printf '%b' '${name.replaceAll("'", "_").replaceAll("\\", "\\\\")}').conf"`,
  );
  // In a file of its own: a Containerfile has words of its own.
  const script = Buffer.from(`cd /etc/sysctl.d\n${make.join("\n")}\necho ${NAME}=81 >z.conf\n`).toString("base64");
  const { status, stdout } = await checked("names", `RUN echo ${script} | base64 -d | sh`);
  assert.is(status, 0);
  assert.match(stdout, "/etc/sysctl.d/z.conf:1 sets 81");
});

test("entrypoints, PATHs and labels of every kind", async () => {
  const long = "portshim -".repeat(20_000);
  for (const [at, instructions] of [
    "ENTRYPOINT []\nCMD []",
    'ENTRYPOINT [""]\nCMD ["", ""]',
    'ENTRYPOINT ["\\u001b[2J\\u202e", "\\n--"]\nUSER root',
    `ENTRYPOINT ["/bin/sh", "-c", "${long}"]`,
    `ENTRYPOINT ${JSON.stringify(Array.from({ length: 500 }, (_, n) => `/${n}/node`))}`,
    `ENV PATH=${Array.from({ length: 2000 }, (_, n) => `/p${n}`).join(":")}\nLABEL a="\\u001b"`,
  ].entries()) {
    assert.is((await checked(`entrypoint-${at}`, instructions)).status, 0, instructions.slice(0, 80));
  }
});

test.run();
