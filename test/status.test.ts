import * as assert from "uvu/assert";
import { outward, STATUS, signalled } from "../shim/lib/status.js";
import { suite } from "./suite.js";

const test = suite("status");

test("what is between helper and stub does not get out", () => {
  const { said, toDo, noWay, notFound, failed, notExecutable } = STATUS;
  assert.equal([said, toDo, noWay, notFound].map(outward), [0, 1, 2, 127]);
  for (const status of [failed, notExecutable, signalled(15)]) assert.is(outward(status), status);
});

test.run();
