import { suite } from "uvu";
import * as assert from "uvu/assert";
import { globMatches } from "../../shim/lib/sysctl/glob.js";

const test = suite("glob");

const KEY = "net/ipv4/ip_unprivileged_port_start";

/** A glob with so many alternatives, of which only the last matches. */
const lastOf = (count: number) => `net/ipv4/{${"x,".repeat(count - 1)}ip_unprivileged_port_star}?`;

test("braces are expanded up to a bound, in order", () => {
  assert.is(globMatches(lastOf(1024), KEY), true);
  assert.is(globMatches(lastOf(1025), KEY), false);
});

test("a million alternatives take no time", () => {
  assert.is(globMatches(`net/ipv4/ip_${"{a,b}".repeat(20)}*`, KEY), false);
  assert.is(globMatches(`net/ipv4/${"{,}".repeat(20)}ip_unprivileged_port_star?`, KEY), true);
});

test.run();
