import { spawnSync } from "node:child_process";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("demo", "namespaces");

test("port 80 is refused, then served with portshim, then again without a message", () => {
  const { status, stdout, stderr } = spawnSync(join(ROOT, "test", "demo.sh"), { encoding: "utf8", timeout: 60_000 });
  assert.equal([status, stderr], [0, ""]);
  assert.match(
    stdout,
    /\$ node server\.js\nbind\(\) to 0\.0\.0\.0:80 failed \(13: Permission denied\)\n[\s\S]*80-web\.conf:1 sets/,
  );
  const [, pid] = /serving on 80, pid (\d+)\n/.exec(stdout) ?? [];
  assert.match(stdout, `\nGET http://127.0.0.1/hello\n${pid} /hello\n`);
  assert.match(stdout, /nothing is said\)\nserving on 80, pid \d+\n$/);
});

test.run();
