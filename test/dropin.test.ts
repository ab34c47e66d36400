import * as assert from "uvu/assert";
import { DROP_IN, dropIn, isDropIn } from "../shim/lib/dropin.js";
import { resolve } from "../shim/lib/sysctl.js";
import { suite } from "./suite.js";

const test = suite("dropin");

test("its text asks for its value, as systemd-sysctl reads it", () => {
  const { declared, refused } = resolve("/nowhere", new Map([[DROP_IN, dropIn("80")]]));
  assert.equal([declared?.value, declared?.file, declared?.line, refused.length], [80, `/nowhere/${DROP_IN}`, 3, 0]);
});

test("portshim knows its own file again, and no other", () => {
  assert.ok(isDropIn(dropIn("443")));
  for (const text of ["", "net.ipv4.ip_unprivileged_port_start = 80\n", `\n${dropIn("80")}`])
    assert.not(isDropIn(text));
});

test.run();
