import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { optionsIn } from "../../images/lib/entrypoint.js";
import type { Image } from "../../images/lib/image.js";
import { type Purpose, parse } from "../../shim/lib/cli/arguments.js";
import { PortshimError } from "../../shim/lib/error.js";
import { effectiveCapabilities } from "../../shim/lib/here/capabilities.js";
import { place } from "../../shim/lib/here/place.js";
import { waiting } from "../../shim/lib/here/socket.js";
import { kernelTakes, SETTING } from "../../shim/lib/here/threshold.js";
import { resolveUser } from "../../shim/lib/here/user.js";
import { findBridge } from "../../shim/lib/host/bridge.js";
import { droppingChain } from "../../shim/lib/host/firewall.js";
import { accept } from "../../shim/lib/library/accept.js";
import { unsatisfied } from "../../shim/lib/report/start.js";
import { globMatches } from "../../shim/lib/sysctl/glob.js";
import { resolve, resolveTexts } from "../../shim/lib/sysctl/resolve.js";
import { printable } from "../../shim/lib/text.js";
import { inToolbox } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("what others decide, by fast-check (RUNS=…, SEED=…)");

const SEED = Number(process.env.SEED || Date.now() % 2 ** 31);
const RUNS = Number(process.env.RUNS || 200);
console.log(`SEED=${SEED}`);

/** Milliseconds for one input, on a busy machine. */
const PATIENCE = 5000;

/** A folder of this file's own. */
const PLACE = mkdtempSync(join(tmpdir(), "portshim-hostile-"));
process.on("exit", () => rmSync(PLACE, { recursive: true, force: true }));

/** Fails unless `property` holds for many inputs, each in time; shrinks the first that it does not hold for. */
function holds<T>(inputs: fc.Arbitrary<T>, property: (input: T) => void, runs = RUNS): void {
  const inTime = (input: T) => {
    const started = process.hrtime.bigint();
    property(input);
    const took = Number(process.hrtime.bigint() - started) / 1e6;
    if (took > PATIENCE) throw new Error(`it took ${took} ms`);
  };
  fc.assert(fc.property(inputs, inTime), { seed: SEED, numRuns: runs });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;

/** Fails unless `action` works, or fails with one line for a person. */
function failsWell(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof PortshimError)) throw error;
    assert.not.match(error.message, UNSAFE);
    assert.ok(error.message.length > 0 && error.message.length < 1500, `${error.message.length} characters`);
  }
}

/** Any bytes at all, and often those that a parser looks for. */
function words(...telling: string[]): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...telling) },
    { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 8 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("\0", "\n", "\r", "\x1b[2J", "\u202e", "\ufffd", "\ud800", " ", "\t", "="),
    },
    // What makes a regular expression or a recursion slow.
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(...telling, " ", "a", "\\"), fc.integer({ min: 100, max: 20_000 }))
        .map(([text, times]) => text.repeat(times)),
    },
  );
  return fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
}

const latin1 = (text: fc.Arbitrary<string>) => text.map((one) => Buffer.from(one, "utf8").toString("latin1"));

const OPTIONS = [
  ...["--start", "--start=", "--via=", "--user=", "--timeout=", "--optional", "--quiet", "--dry-run", "--verbose"],
  ...["--json", "--ports=", "--apply", "--remove", "--help", "-h", "--version", "--", "80", "1e3", "-1", "nginx", ","],
];
const VARIABLES = ["START", "VIA", "USER", "OPTIONAL", "TIMEOUT", "DRY_RUN", "QUIET", "VERBOSE", "BRIDGE"];

test("arguments and variables", () => {
  const argv = fc.array(words(...OPTIONS), { maxLength: 6 });
  const env = fc.dictionary(
    fc.constantFrom(...VARIABLES.map((name) => `PORTSHIM_${name}`), "PATH", "SUDO_UID", "container"),
    words("80", "1", "pkexec", "write,sudo", "/bin/sh", "../x"),
  );
  const purpose = fc.constantFrom<Purpose>("start", "check", "persist", "guard");
  holds(fc.tuple(argv, env, purpose), ([given, variables, what]) => {
    failsWell(() => {
      const { options } = parse(given, variables, what);
      const { start, timeout, ports = [80] } = options;
      assert.ok(start === undefined || (Number.isInteger(start) && start >= 0 && start <= 1024));
      assert.ok(Number.isInteger(timeout) && timeout >= 1 && timeout <= 86400);
      assert.ok(ports.every((port) => Number.isInteger(port) && port >= 1 && port <= 1023));
    });
    failsWell(() => findBridge(inToolbox().place, variables, () => true)?.command(["/bin/true"]));
    assert.type(place(variables, PLACE).name, "string");
  });
});

test("a program's options", () => {
  const value = fc.oneof(
    fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true }),
    words("80"),
  );
  const given = fc.oneof(
    value,
    fc.record({ start: value, via: value, timeout: value, signal: value, logger: value }, { requiredKeys: [] }),
  );
  holds(given, (options) => failsWell(() => accept(options as object)));
});

/** The key, in pieces. */
const KEYS = [SETTING, SETTING.replaceAll(".", "/"), "net", ".", "/", "ipv4", "ip_unprivileged", "_port_start", "-"];
const GLOBS = ["*", "?", "[", "]", "[!", "[[:", ":]", "[.", ".]", "{", "}", ",", "\\", "{a,b}", "{a}"];

test("drop-ins: bytes of any kind, globs that would never end", () => {
  const text = latin1(words(...KEYS, ...GLOBS, "=", "= 80", "=80\n", "#", ";", "=0x50", "\n", "=99999999999999999999"));
  const path = fc.constantFrom(
    "etc/sysctl.d/a.conf",
    "run/sysctl.d/a.conf",
    "usr/lib/sysctl.d/b.conf",
    "etc/sysctl.conf",
  );
  holds(
    fc.dictionary(path, text),
    (texts) => {
      const { declared, invalid } = resolveTexts(new Map(Object.entries(texts)));
      const value = declared?.value ?? 0;
      assert.ok(Number.isInteger(value) && value >= 0 && value <= 65535);
      for (const { file, text: said } of invalid) assert.not.match(`${printable(file)} ${printable(said)}`, UNSAFE);
      if (!declared) return;
      const wanted = { value, by: `${declared.file}:${declared.line}`, fromFile: true };
      assert.not.match(unsatisfied(inToolbox({ wanted })), UNSAFE);
    },
    RUNS * 3,
  );
});

test("globs alone, and numbers for the kernel", () => {
  holds(latin1(words(...KEYS, ...GLOBS)), (pattern) => {
    assert.type(globMatches(pattern, SETTING.replaceAll(".", "/")), "boolean");
    const value = kernelTakes(pattern);
    assert.ok(value === undefined || (Number.isInteger(value) && value >= 0 && value <= 65535));
  });
});

test("braces: as many and as deep as a line of systemd's can hold them, in time", () => {
  const bombs = [
    "{a}".repeat(300_000),
    `${"{".repeat(400_000)}${"}".repeat(400_000)}`,
    "{a,b}".repeat(200_000),
    "\\".repeat(1e6),
  ];
  for (const bomb of bombs) {
    const started = Date.now();
    const lines = `${SETTING}=443\n-n*${bomb}=80\nn*${bomb}/x=80\n`;
    assert.is(resolveTexts(new Map([["etc/sysctl.d/a.conf", lines]])).declared?.value, 443);
    assert.ok(Date.now() - started < PATIENCE, bomb.slice(0, 5));
  }
  // A file full of the worst that is still looked at.
  const worst = `n*${"{a,b}".repeat(20)}${"{".repeat(1900)}${"}".repeat(1900)}=80\n`;
  const started = Date.now();
  resolveTexts(new Map([["etc/sysctl.d/a.conf", worst.repeat(1000)]]));
  assert.ok(Date.now() - started < PATIENCE);
});

test("/etc/passwd and /etc/group", () => {
  mkdirSync(join(PLACE, "etc"), { recursive: true });
  const file = words(
    "web",
    ":",
    "x",
    "0",
    "1000",
    "-1",
    "4294967296",
    "root",
    "#",
    "+",
    ",",
    "\n",
    "web:x:1:1::/:/x\n",
  );
  const spec = words("web", ":", "0", "-", "root", "99999999999");
  holds(fc.tuple(file, file, spec), ([passwd, group, who]) => {
    writeFileSync(join(PLACE, "etc/passwd"), passwd);
    writeFileSync(join(PLACE, "etc/group"), group);
    failsWell(() => {
      const { uid, gid, groups } = resolveUser(who, PLACE);
      for (const id of [uid, gid, ...groups]) assert.ok(Number.isInteger(id) && id >= 0 && id < 2 ** 32 - 1);
    });
  });
});

test("a user's line with a million blanks in it, and files of gigabytes, cost nothing", () => {
  const started = Date.now();
  writeFileSync(join(PLACE, "etc/passwd"), `a${" ".repeat(1e6)}b:x:1:1::/:/x\nweb:x:7:7::/:/x`);
  assert.is(resolveUser("web", PLACE).uid, 7);
  truncateSync(join(PLACE, "etc/passwd"), 2 ** 33);
  assert.throws(() => resolveUser("web", PLACE), /user "web": there is no such user/);
  mkdirSync(join(PLACE, "etc/sysctl.d"), { recursive: true });
  writeFileSync(join(PLACE, "etc/sysctl.d/50-a.conf"), `${SETTING}=443\n`);
  for (const size of [2 ** 33, 4e8]) {
    writeFileSync(join(PLACE, "etc/sysctl.d/90-b.conf"), `${SETTING}=80\n`);
    truncateSync(join(PLACE, "etc/sysctl.d/90-b.conf"), size);
    assert.is(resolve(PLACE).declared?.value, 443);
  }
  assert.ok(Date.now() - started < PATIENCE);
});

test("the marks of a place: files and links of any content", () => {
  const marks = ["run/.containerenv", ".dockerenv", "proc/self/mountinfo", "proc/self/uid_map", "run/.toolboxenv"];
  const text = words(
    "/",
    " ",
    "- ext4 /dev/sda ",
    "0 0 4294967295",
    "\n",
    "/usr/bin/distrobox-host-exec",
    'engine="podman"',
  );
  holds(
    fc.dictionary(fc.constantFrom(...marks), text),
    (files) => {
      const root = mkdtempSync(join(PLACE, "place-"));
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(join(root, path, ".."), { recursive: true });
        writeFileSync(join(root, path), content);
      }
      const { what, evidence } = place({}, root);
      assert.not.match(what + evidence, UNSAFE);
      rmSync(root, { recursive: true });
    },
    Math.ceil(RUNS / 3),
  );
});

test("/proc's tables", () => {
  const line = words("0100007F:0050", "0A", " ", ":", "00000000:0000", "CapEff:\t0000000000000400", "\n", "1 ");
  holds(line, (table) => {
    for (const { port } of waiting(table, "tcp")) assert.ok(port >= 0 && port <= 65535);
    writeFileSync(join(PLACE, "status"), table);
    assert.ok(effectiveCapabilities(join(PLACE, "status")).size <= 3);
  });
});

test("nft's JSON, of any shape", () => {
  const name = fc.constantFrom<unknown>("inet", "t", "input", "a b", "\x1b", 5, null, {}, []);
  const chain = fc.record(
    {
      family: name,
      table: name,
      name,
      hook: fc.constantFrom<unknown>("input", null, 1),
      policy: fc.constantFrom<unknown>("drop", {}),
    },
    { requiredKeys: [] },
  );
  const port = fc.oneof(
    fc.constantFrom<unknown>(80, "80", { set: [80] }, { range: [1, 90] }, { range: "x" }, { set: [null] }),
    fc.jsonValue(),
  );
  const match = fc.record({
    op: fc.constantFrom("==", "!="),
    left: fc.oneof(fc.constant({ payload: { protocol: "tcp", field: "dport" } }), fc.jsonValue()),
    right: port,
  });
  const part = fc.oneof(
    fc.record({ match }),
    fc.constantFrom<unknown>({ accept: null }, null, "accept"),
    fc.jsonValue(),
  );
  const rule = fc.record(
    { family: name, table: name, chain: name, expr: fc.oneof(fc.array(part), fc.jsonValue()) },
    { requiredKeys: [] },
  );
  const entry = fc.oneof(
    fc.record({ chain: fc.oneof(chain, fc.jsonValue()) }),
    fc.record({ rule: fc.oneof(rule, fc.jsonValue()) }),
    fc.jsonValue(),
  );
  holds(fc.array(entry), (ruleset) => {
    const found = droppingChain(ruleset, 80);
    if (found) for (const word of [found.family, found.table, found.name]) assert.type(word, "string");
  });
  assert.is(
    droppingChain([{ chain: { family: "inet", table: "t", name: "i", hook: "input", policy: "drop" } }], 80)?.name,
    "i",
  );
});

test("what others said is one line, however long", () => {
  holds(words("a", "\n", "\u2028", "\u200b", "😀", "\x9b31m"), (text) => {
    const said = printable(text);
    assert.ok(said.length <= 401 && !UNSAFE.test(said), JSON.stringify(said));
  });
  const started = Date.now();
  assert.ok(printable(" \x01".repeat(5e6)).length <= 401);
  assert.ok(Date.now() - started < PATIENCE);
});

test("an image's entrypoint of megabytes", () => {
  const image = (...entrypoint: string[]) => ({ entrypoint, command: [] }) as unknown as Image;
  const shell = words("portshim ", "portshim", " --", "-- ", " -- ", "--start=80 ", ";", "&& ", "(", "/", "\n");
  holds(fc.array(shell, { maxLength: 4 }), (given) => {
    optionsIn(image("/bin/sh", "-c", ...given));
    optionsIn(image(...given));
  });
  const started = Date.now();
  for (const word of ["portshim ", "portshim -", "-- ", " ", "portshim;"])
    optionsIn(image("/bin/sh", "-c", word.repeat(2e5)));
  assert.ok(Date.now() - started < PATIENCE);
});

test.run();
