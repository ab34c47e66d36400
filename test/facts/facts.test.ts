import * as assert from "uvu/assert";

import { wanted } from "../../shim/lib/facts/facts.js";
import type { Resolution } from "../../shim/lib/sysctl/resolve.js";
import { suite } from "../suite.js";

const test = suite("facts");

const NOTHING: Resolution = { declared: undefined, invalid: [] };
const asks = (file: string, value: number): Resolution => ({
  declared: { file, line: 3, text: String(value), value },
  invalid: [],
});

const cases: [name: string, start: number | undefined, here: Resolution, host: Resolution | undefined, object][] = [
  ["--start before all", 25, asks("/etc/a.conf", 443), asks("/h", 80), { value: 25, by: "--start", fromFile: false }],
  ["--start=0 counts", 0, asks("/etc/a.conf", 443), undefined, { value: 0, by: "--start", fromFile: false }],
  ["ours before the host's", undefined, asks("/a", 443), asks("/h", 80), { value: 443, by: "/a:3", fromFile: true }],
  ["the host's", undefined, NOTHING, asks("/h", 81), { value: 81, by: "/h:3", fromFile: true }],
  ["80 if nobody asks", undefined, NOTHING, NOTHING, { value: 80, by: undefined, fromFile: false }],
  ["80 without a host", undefined, NOTHING, undefined, { value: 80, by: undefined, fromFile: false }],
];
for (const [name, start, here, host, expected] of cases) {
  test(name, () =>
    assert.equal(
      wanted(
        start,
        () => here,
        () => host,
      ),
      expected,
    ),
  );
}

test.run();
