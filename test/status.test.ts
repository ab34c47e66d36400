import * as assert from "uvu/assert";
import { outward, STATUS, signalled } from "../shim/lib/status.js";
import { suite } from "./suite.js";

const test = suite("status");

test("what is between helper and stub does not get out", () => {
  assert.equal([STATUS.said, STATUS.toDo, STATUS.noWay].map(outward), [0, 1, 2]);
  for (const status of [STATUS.failed, STATUS.notExecutable, STATUS.notFound, signalled(15)])
    assert.is(outward(status), status);
});

test.run();
