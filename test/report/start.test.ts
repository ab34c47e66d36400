import * as assert from "uvu/assert";
import { PortshimError } from "../../shim/lib/error.js";
import { planFor } from "../../shim/lib/plan/plan.js";
import * as report from "../../shim/lib/report/start.js";
import { inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("what a start says");
const NAME = "net.ipv4.ip_unprivileged_port_start";

test("what is wanted, by a file, an option, nobody", () => {
  assert.is(
    report.unsatisfied(inToolbox()),
    `/etc/sysctl.d/80-web.conf:1 sets ${NAME}=80, but it was never applied: the value is 1024`,
  );
  const rest = `but those below 1024 need privileges here (${NAME})`;
  assert.is(
    report.unsatisfied(inToolbox({ wanted: { value: 443, by: "--start", fromFile: false } })),
    `--start asks for ports 443 and up, ${rest}`,
  );
  assert.is(
    report.unsatisfied(inToolbox({ wanted: { value: 80, by: undefined, fromFile: false } })),
    `port 80 needs privileges here (${NAME} is 1024)`,
  );
});

test("an invalid value is reported with file and line", () => {
  const invalid = [{ file: "/etc/sysctl.d/\u001b.conf", line: 4, text: "http", value: undefined }];
  assert.equal(report.invalid(inToolbox({ declaredHere: { declared: undefined, invalid } })), [
    `/etc/sysctl.d/ .conf:4 sets ${NAME} to "http", which is invalid: ignored`,
  ]);
});

test("if an option says what is wanted, the files are not even read", () => {
  const facts = inToolbox({ wanted: { value: 80, by: "--start", fromFile: false } });
  for (const name of ["declaredHere", "declaredOnHost"]) {
    Object.defineProperty(facts, name, {
      get() {
        throw new Error("read");
      },
    });
  }
  assert.equal(report.invalid(facts), []);
});

test("what is about to run as root, on the host and here", () => {
  const command = ["/usr/bin/pkexec", "/usr/sbin/sysctl"];
  assert.is(
    report.aboutToRun(command, inToolbox(), true),
    "Running as root on the host (you may be asked for your password):\n    /usr/bin/pkexec /usr/sbin/sysctl",
  );
  assert.match(report.aboutToRun(command, onHost(), false), /^Running as root on this machine:\n/);
});

test("success, until when, and how to make it permanent", () => {
  const done = "Done. Any user can now bind ports 80 and up, until";
  const nothing = { declared: undefined, invalid: [] };
  assert.is(report.success(inToolbox()), `${done} the host reboots. To make it permanent:\n    portshim persist`);
  assert.is(
    report.success(onHost({ declaredHere: nothing })),
    `${done} this machine reboots. To make it permanent:\n    portshim persist`,
  );
  assert.is(
    report.success(onHost()),
    "Done. Any user can now bind ports 80 and up, also after a reboot (/etc/sysctl.d/80-web.conf:1).",
  );
  assert.is(
    report.success(inPodman({ network: "own" })),
    `${done} this container stops. To make it permanent:\n    podman run --sysctl ${NAME}=80 …`,
  );
  assert.is(
    report.success(inPodman({ network: "unknown" })),
    `Done. Any user can now bind ports 80 and up, until this container stops, or with the host's network until the host reboots. To make it permanent:
    podman run --sysctl ${NAME}=80 …
or, with --network host, run this on the host:
    echo ${NAME}=80 | sudo tee /etc/sysctl.d/90-ports.conf`,
  );
});

test("what was tried on the host", () => {
  const facts = inToolbox();
  const usable = planFor(facts).steps.filter((step) => step.usable);
  assert.equal(report.tried(facts, usable), [
    `Tried through /usr/bin/flatpak-spawn:\n    /usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80`,
  ]);
});

test("a refusal without a terminal says how to keep a restart from asking again", () => {
  const tty = process.stderr.isTTY;
  process.stderr.isTTY = false;
  assert.match(report.restarts(new PortshimError("refused")).join(), "RestartPreventExitStatus=NOPERM");
  assert.equal(report.restarts(new PortshimError("host-failed")), []);
  process.stderr.isTTY = true;
  assert.equal(report.restarts(new PortshimError("refused")), []);
  process.stderr.isTTY = tty;
});

test.run();
