import * as assert from "uvu/assert";
import { inNamespace, type Situation } from "../namespace.js";
import { PORTSHIM } from "../need.js";
import { suite } from "../suite.js";

const test = suite("a kernel without the setting", "root", "tools", "nodes");

// As on gVisor and before Linux 4.11: /proc/sys/net exists, and is empty.
const situation: Situation = { threshold: 1024, prepare: "mount -t tmpfs tmpfs /proc/sys/net" };

const run = (options: string[], more: Partial<Situation> = {}) =>
  inNamespace([PORTSHIM, "--start=80", ...options, "--", "/bin/sh", "-c", "echo started"], { ...situation, ...more });

test("the port can be bound: the server starts, without a message", () => {
  const { status, stdout, stderr } = run([]);
  assert.equal([status, stdout, stderr], [0, "started\n", ""]);
});

test("it cannot: 69, and what to do on this system", () => {
  const { status, stdout, stderr } = run([], { ordinary: true });
  assert.equal([status, stdout], [69, ""]);
  assert.match(
    stderr,
    /^portshim: port 80 needs privileges here, and this kernel has no net\.ipv4\.ip_unprivileged_port_start to lower; /,
  );
  assert.match(stderr, /setcap cap_net_bind_service=\+ep PROGRAM\)\n$/);
});

test("it cannot, with --optional: the server starts anyway", () => {
  const { status, stdout } = run(["--optional"], { ordinary: true });
  assert.equal([status, stdout], [0, "started\n"]);
});

test.run();
