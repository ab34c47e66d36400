import * as assert from "uvu/assert";
import { DEFAULTS } from "../../shim/lib/attempt/options.js";
import { parse } from "../../shim/lib/cli/arguments.js";
import { help } from "../../shim/lib/cli/help.js";
import { PortshimError } from "../../shim/lib/error.js";
import { suite } from "../suite.js";

const test = suite("arguments");
const read = (argv: string[], env: NodeJS.ProcessEnv = {}) => parse(argv, env);

const accepted: [name: string, argv: string[], env: NodeJS.ProcessEnv, expected: object][] = [
  ["nothing asked for", [], {}, {}],
  ["--start=N", ["--start=443"], {}, { start: 443, startBy: "--start" }],
  ["--start N", ["--start", "0"], {}, { start: 0, startBy: "--start" }],
  ["the largest start", ["--start=1024"], {}, { start: 1024, startBy: "--start" }],
  ["PORTSHIM_START", [], { PORTSHIM_START: "25" }, { start: 25, startBy: "PORTSHIM_START" }],
  ["the flag wins over the variable", ["--start=80"], { PORTSHIM_START: "25" }, { start: 80, startBy: "--start" }],
  ["the last flag wins", ["--start=80", "--start=81"], {}, { start: 81, startBy: "--start" }],
  ["an empty variable is unset", [], { PORTSHIM_START: "", PORTSHIM_OPTIONAL: "" }, {}],
  ["--via, in the order given", ["--via=pkexec,write"], {}, { via: ["pkexec", "write"] }],
  ["PORTSHIM_VIA", [], { PORTSHIM_VIA: "write" }, { via: ["write"] }],
  ["--optional, which the launcher heeds", ["--optional"], { PORTSHIM_OPTIONAL: "0" }, {}],
  ["--timeout", ["--timeout", "5"], {}, { timeout: 5 }],
  ["PORTSHIM_TIMEOUT", [], { PORTSHIM_TIMEOUT: "86400" }, { timeout: 86400 }],
  ["--dry-run", ["--dry-run"], {}, { dryRun: true }],
  ["PORTSHIM_DRY_RUN", [], { PORTSHIM_DRY_RUN: "1" }, { dryRun: true }],
  ["--quiet --verbose", ["--quiet", "--verbose"], {}, { quiet: true, verbose: true }],
  [
    "PORTSHIM_QUIET, PORTSHIM_VERBOSE",
    [],
    { PORTSHIM_QUIET: "1", PORTSHIM_VERBOSE: "1" },
    { quiet: true, verbose: true },
  ],
];
for (const [name, argv, env, expected] of accepted) {
  test(name, () => {
    const { options, command } = read([...argv, "--", "node", "--start=7", "--"], env);
    assert.equal(options, { ...DEFAULTS, ...expected });
    assert.equal(command, ["node", "--start=7", "--"]);
  });
}

const refusal = (sentence: string) => (error: unknown) =>
  error instanceof PortshimError && error.code === "bad-usage" && error.message === sentence;

const ofGuard: [argv: string[], expected: object | string][] = [
  [[], {}],
  [["--ports=80,443"], { ports: [80, 443] }],
  [["--ports", "1023"], { ports: [1023] }],
  [["--apply", "--ports=1"], { apply: true, ports: [1] }],
  [["--remove"], { remove: true }],
  [["--start=443", "--dry-run"], { start: 443, startBy: "--start", dryRun: true }],
  ...["", "0", "1024", "80,", "80;443", "80-90", "080", "8e1", "http", "80 } accept"].map(
    (value): [string[], string] => [
      [`--ports=${value}`],
      `--ports must be one or more integers from 1 to 1023, with commas between them, not "${value}"`,
    ],
  ),
  [["--apply=1"], "--apply takes no value"],
  [["--bind"], 'unknown option "--bind"; see portshim guard --help'],
];
for (const [argv, expected] of ofGuard) {
  test(`guard ${argv.join(" ")}: ${JSON.stringify(expected)}`, () => {
    if (typeof expected === "string") assert.throws(() => parse(argv, {}, "guard"), refusal(expected));
    else assert.equal(parse(argv, {}, "guard").options, { ...DEFAULTS, ...expected });
  });
}

test("the options of guard are no others'", () => {
  for (const [purpose, called] of [
    ["start", "portshim"],
    ["check", "portshim check"],
    ["persist", "portshim persist"],
  ] as const) {
    for (const flag of ["--apply", "--ports=80"]) {
      const sentence = `unknown option "${flag}"; see ${called} --help`;
      assert.throws(() => parse([flag], {}, purpose), refusal(sentence));
    }
  }
});

const refused: [argv: string[], env: NodeJS.ProcessEnv, sentence: string][] = [
  [[], {}, "no command to start: write portshim [options] -- command [argument…]"],
  [["--"], {}, "no command after --: write portshim [options] -- command [argument…]"],
  [["--", ""], {}, "no command after --: write portshim [options] -- command [argument…]"],
  [["--", "-c"], {}, 'the command after -- must not start with a dash: "-c"'],
  [["--frob", "--", "x"], {}, 'unknown option "--frob"; see portshim --help'],
  [["-q", "--", "x"], {}, 'unknown option "-q"; see portshim --help'],
  [["--\u001b[31m", "--", "x"], {}, 'unknown option "-- [31m"; see portshim --help'],
  [["node", "a b.js"], {}, "put -- before the command: portshim -- node 'a b.js'"],
  [
    ["chekc"],
    {},
    "put -- before the command: portshim -- chekc (portshim's own commands are check, persist and guard)",
  ],
  [["--start=80", "check"], {}, "check comes first, then its options: portshim check [options]"],
  [["node", "--", "x"], {}, 'only options can precede --, not "node"'],
  [["--start"], {}, "--start needs a value: --start=N"],
  [["--start", "--", "x"], {}, "--start needs a value: --start=N"],
  [["--start=", "--", "x"], {}, '--start must be an integer from 0 to 1024, not ""'],
  [["--start=1025", "--", "x"], {}, '--start must be an integer from 0 to 1024, not "1025"'],
  [["--start=-1", "--", "x"], {}, '--start must be an integer from 0 to 1024, not "-1"'],
  [["--start=8O", "--", "x"], {}, '--start must be an integer from 0 to 1024, not "8O"'],
  [["--start=080", "--", "x"], {}, '--start must be an integer from 0 to 1024, not "080"'],
  [["--start=8e1", "--", "x"], {}, '--start must be an integer from 0 to 1024, not "8e1"'],
  [["--", "x"], { PORTSHIM_START: "http" }, 'PORTSHIM_START must be an integer from 0 to 1024, not "http"'],
  [["--timeout=0", "--", "x"], {}, '--timeout must be an integer from 1 to 86400, not "0"'],
  [
    ["--via=ssh", "--", "x"],
    {},
    '--via must be one or more of write, capability, nsenter, pkexec, run0, sudo, not "ssh"',
  ],
  [["--via=", "--", "x"], {}, '--via must be one or more of write, capability, nsenter, pkexec, run0, sudo, not ""'],
  [["--optional=1", "--", "x"], {}, "--optional takes no value"],
  [["--", "x"], { PORTSHIM_OPTIONAL: "yes" }, 'PORTSHIM_OPTIONAL must be 1 or 0, not "yes"'],
];
for (const [argv, env, sentence] of refused) {
  test(`${JSON.stringify([argv, env])}: ${sentence}`, () => {
    assert.throws(() => read(argv, env), refusal(sentence));
  });
}

test("--help, --version and --dry-run need no command", () => {
  assert.is(read(["-h"]).options.help, true);
  for (const flag of ["--help", "--version", "--dry-run"]) assert.equal(read([flag]).command, []);
});

test("the help names every option, its variable and every route", () => {
  const text = help([{ name: "walk", what: "go out" }], [{ name: "pigeon", what: "send one" }]);
  for (const word of [
    "--start=N",
    "PORTSHIM_START",
    "--via=ROUTE",
    "--optional",
    "--timeout",
    "walk",
    "pigeon",
    "77",
  ]) {
    assert.ok(text.includes(word), word);
  }
});

test.run();
