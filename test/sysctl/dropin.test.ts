import * as assert from "uvu/assert";
import { DROP_IN, dropIn, isDropIn } from "../../shim/lib/sysctl/dropin.js";
import { resolve } from "../../shim/lib/sysctl/resolve.js";
import { suite } from "../suite.js";

const test = suite("dropin");

test("its text sets its value, as systemd-sysctl reads it", () => {
  const { declared, invalid } = resolve("/nowhere", new Map([[DROP_IN, dropIn("80")]]));
  assert.equal([declared?.value, declared?.file, declared?.line, invalid.length], [80, `/nowhere/${DROP_IN}`, 2, 0]);
});

test("portshim recognizes its own file, and no other", () => {
  assert.ok(isDropIn(dropIn("443")));
  for (const text of ["net.ipv4.ip_unprivileged_port_start = 80\n", `\n${dropIn("80")}`]) assert.not(isDropIn(text));
});

test("cut at the end it sets the same value; and portshim recognizes the beginning as its own", () => {
  const whole = dropIn("80");
  for (let length = whole.indexOf("\n#") + 1; length < whole.length; length++) {
    const { declared } = resolve("/nowhere", new Map([[DROP_IN, whole.slice(0, length)]]));
    assert.is(declared?.value, 80, whole.slice(0, length));
  }
  for (let length = 0; length < whole.length; length++) assert.ok(isDropIn(whole.slice(0, length)));
});

test.run();
