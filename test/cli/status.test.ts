import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";

import { STATUS, statusOf } from "../../shim/lib/cli/status.js";
import { type FailureCode, PortshimError } from "../../shim/lib/error.js";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("status");

test("the launcher has the same numbers as the helper", () => {
  const source = readFileSync(join(ROOT, "shim", "launcher", "launcher.c"), "utf8");
  const numbers = Object.fromEntries(
    [...source.matchAll(/\b([A-Z_]+) = (\d+)\b/g)].map(([, name, value]) => [name, Number(value)]),
  );
  const { UNAVAILABLE, SOFTWARE, NOPERM, NOT_EXECUTABLE, NOT_FOUND } = numbers;
  assert.equal(
    [UNAVAILABLE, SOFTWARE, NOPERM, NOT_EXECUTABLE, NOT_FOUND],
    [STATUS.unavailable, STATUS.software, STATUS.noPermission, STATUS.notExecutable, STATUS.notFound],
  );
});

test("a signal's status is the shell's", () => {
  assert.is(STATUS.terminated, 128 + constants.signals.SIGTERM);
});

const STATUSES: readonly (readonly [status: number, ...codes: FailureCode[]])[] = [
  [64, "bad-usage", "no-user"],
  [
    69,
    "no-way",
    "no-setting",
    "bridge-failed",
    "host-failed",
    "unchanged",
    "no-persist",
    "no-guard",
    "guard-failed",
    "output-failed",
  ],
  [77, "refused", "refused-another", "dismissed", "timed-out", "no-drop"],
  [126, "not-executable"],
  [127, "not-found"],
];
for (const [status, ...codes] of STATUSES) {
  test(`${codes.join(", ")}: ${status}`, () => {
    for (const code of codes) assert.is(statusOf(new PortshimError(code)), status, code);
  });
}

test.run();
