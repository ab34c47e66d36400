import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite as uvuSuite } from "uvu";
import * as assert from "uvu/assert";
import { PortshimError } from "../../shim/lib/error.js";
import { kernelTakes, liveThreshold, SETTING_FILE } from "../../shim/lib/here/threshold.js";
import { suite } from "../suite.js";
import { Namespace } from "../sysctl/namespace.js";
import { quote, Random, seed, WILD_VALUES } from "../sysctl/tree.js";

const threshold = uvuSuite("threshold");

threshold("the live threshold is read", () => {
  assert.is(liveThreshold(), Number(readFileSync(SETTING_FILE, "latin1")));
});

threshold("anything but a number and a newline is not read", () => {
  const directory = mkdtempSync(join(tmpdir(), "threshold-"));
  const file = join(directory, "threshold");
  const read = (text: string) => {
    writeFileSync(file, text);
    return liveThreshold(file);
  };
  try {
    assert.is(liveThreshold(file), undefined);
    assert.is(liveThreshold(directory), undefined);
    assert.is(read("0\n"), 0);
    assert.is(read("1024\n"), 1024);
    assert.is(read("65535\n"), 65535);
    for (const text of ["", "\n", "1024", "-1\n", "0x50\n", "80 81\n", "123456\n", "web\n"])
      assert.is(read(text), undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

threshold("a file that cannot be read for now says nothing of the kernel", () => {
  // Address 0 is in no process's memory: EIO.
  assert.throws(
    () => liveThreshold("/proc/self/mem"),
    (error: unknown) =>
      error instanceof PortshimError &&
      error.code === "no-way" &&
      /^cannot lower \S+ from here: EIO: i\/o error, read$/.test(error.message),
  );
});

const TAKEN: readonly (readonly [text: string, value: number | undefined])[] = [
  ["80", 80],
  ["0", 0],
  ["-0", 0],
  ["0x50", 80],
  ["0X50", 80],
  ["0120", 80],
  ["080", undefined],
  ["0x", undefined],
  ["+80", undefined],
  ["-1", undefined],
  ["", undefined],
  [" ", undefined],
  ["\t\n\v\f\r \xa080", 80],
  ["\x0180", undefined],
  ["80 web", 80],
  ["80\tweb", 80],
  ["80\nweb", 80],
  ["80\vweb", undefined],
  ["80\r", undefined],
  ["80,81", undefined],
  ["32768", 32768],
  ["32769", undefined],
  ["65535", undefined],
  ["4294967376", undefined],
  ["18446744073709551696", undefined],
  ["00000000000000000120", 80],
  ["000000000000000000120", undefined],
  ["-00000000000000000000", undefined],
];

for (const [text, value] of TAKEN) {
  threshold(`the kernel ${value === undefined ? "refuses" : "takes"} ${quote(text)}`, () => {
    assert.is(kernelTakes(text), value);
  });
}

threshold.run();

const kernel = suite("threshold, as the real kernel takes it", "root", "tools");

/** The value before each text, which stays if the kernel rejects it; none of the texts sets it. */
const UNTOUCHED = 31999;

const PIECES = [
  ..."0123456789",
  "80",
  "1024",
  "327",
  "68",
  "00000000",
  "0x",
  "0X",
  "-",
  "+",
  "a",
  "f",
  "g",
  " ",
  "\t",
  "\n",
  "\v",
];
const ODD_PIECES = ["\r", "\f", "\xa0", "\x85", "\x01", "\x7f", "\xff", ".", ",", ";", "#", "=", "'"];

function text(random: Random): string {
  if (random.chance(0.2)) return random.pick(WILD_VALUES);
  const pieces = random.chance(0.5) ? PIECES : [...PIECES, ...ODD_PIECES];
  let made = "";
  for (let count = random.below(random.chance(0.2) ? 30 : 5); count >= 0; count--) made += random.pick(pieces);
  return made;
}

kernel("random texts (TEXTS=… for more)", async () => {
  const random = new Random(seed());
  const texts = Array.from({ length: Number(process.env.TEXTS || 3000) }, () => text(random));
  const namespace = await Namespace.open();
  const differences: string[] = [];
  let taken = 0;
  try {
    for (let at = 0; at < texts.length; at += 100) {
      const batch = texts.slice(at, at + 100);
      const tries = batch.map(
        (one) =>
          `echo ${UNTOUCHED} >${SETTING_FILE}; printf '%s\\n' '${one.replaceAll("'", "'\\''")}' >${SETTING_FILE} 2>/dev/null; cat ${SETTING_FILE}`,
      );
      const values = (await namespace.run(tries.join("\n"))).trim().split("\n").map(Number);
      assert.is(values.length, batch.length);
      for (const [index, value] of values.entries()) {
        const ours = kernelTakes(batch[index] as string);
        if (ours !== undefined) taken++;
        if (value !== (ours ?? UNTOUCHED))
          differences.push(`${quote(batch[index] as string)}: ours ${ours}, the kernel's ${value}`);
      }
    }
  } finally {
    await namespace.close();
  }
  assert.equal(differences, []);
  assert.ok(taken > texts.length / 10, "hardly a text was taken");
});

kernel.run();
