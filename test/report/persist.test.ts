import * as assert from "uvu/assert";
import * as report from "../../shim/lib/report/persist.js";
import { suite } from "../suite.js";

const test = suite("what persist says");
const NAME = "net.ipv4.ip_unprivileged_port_start";
const FILE = "/etc/sysctl.d/90-portshim.conf";
const UNDO = "To undo it:\n    portshim persist --remove";

const write: report.Change = { kind: "write", value: 80, text: "line\n" };
const apply: report.Change = { kind: "apply", value: 80, text: undefined, setBy: "/etc/sysctl.d/80-web.conf:1" };
const remove: report.Change = { kind: "remove", value: 1024, text: undefined };

const TABLE: readonly (readonly [what: string, says: string, expected: string])[] = [
  [
    "cannot",
    report.cannot(report.WHY.foreign),
    `cannot change ${FILE} on the host: it exists, and portshim did not write it`,
  ],
  ["unseen", report.WHY.unseen, "cannot read the host's /etc/sysctl.d from here"],
  ["no folder", report.WHY.noFolder, "the host has no /etc/sysctl.d"],
  [
    "make the folder",
    report.MAKE_FOLDER,
    "Run this on the host, then persist again:\n    sudo mkdir -m 755 /etc/sysctl.d",
  ],
  ["--remove --start", report.REMOVE_ALONE, "--remove restores what the host's other files set, and takes no --start"],
  ["about to write", report.aboutTo(write), `Writing this on the host, as ${FILE}:\n    line`],
  [
    "about to apply",
    report.aboutTo(apply),
    "/etc/sysctl.d/80-web.conf:1 sets it on the host, but it was never applied: setting it now",
  ],
  ["about to remove", report.aboutTo(remove), `Removing ${FILE} on the host, and setting ${NAME} to 1024`],
  ["would write", report.would(write), `Would write this on the host, as ${FILE}:\n    line`],
  ["would apply", report.would(apply), "/etc/sysctl.d/80-web.conf:1 sets it on the host, but it was never applied"],
  ["would remove", report.would(remove), `Would remove ${FILE} on the host, and set ${NAME} to 1024`],
  ["nothing to do: the file", report.nothingToDo(80, undefined), `Nothing to do: the host has ${FILE} already.`],
  [
    "nothing to do: another file",
    report.nothingToDo(80, "/etc/sysctl.conf:3"),
    "Nothing to do: any user can bind ports 80 and up, also after a reboot (/etc/sysctl.conf:3).",
  ],
  ["nothing to remove", report.NOTHING_TO_REMOVE, `Nothing to do: the host has no ${FILE}.`],
  ["wrote it", report.done(write, true), `Done. Any user can now bind ports 80 and up, also after a reboot. ${UNDO}`],
  [
    "wrote it, but another file wins",
    report.done(write, false),
    `Done. Any user can now bind ports 80 and up, until the host reboots. ${UNDO}`,
  ],
  ["applied it", report.done(apply, true), "Done. Any user can now bind ports 80 and up, also after a reboot."],
  ["removed it", report.done(remove, true), `Done. ${FILE} is gone, and any user can bind ports 1024 and up.`],
  [
    "another file wins",
    report.overrides({ file: "/etc/sysctl.d/99-\x1bx.conf", line: 2, text: "1024", value: 1024 }, 80),
    `/etc/sysctl.d/99- x.conf:2 overrides ${FILE}: it sets "1024", which applies from the host's next reboot. Remove that line to keep 80.`,
  ],
  [
    "another file with an invalid value wins",
    report.overrides({ file: "/etc/sysctl.d/99-x.conf", line: 2, text: "eighty", value: undefined }, 80),
    `/etc/sysctl.d/99-x.conf:2 overrides ${FILE}: it sets "eighty", which is invalid, so that the host boots with 1024. Remove that line to keep 80.`,
  ],
];
for (const [what, says, expected] of TABLE) test(what, () => assert.is(says, expected));

const BEFORE = { text: "old\n", threshold: 1024 };
const HALF: readonly (readonly [text: string | undefined, now: string, next: RegExp])[] = [
  [undefined, `there is no ${FILE}`, /^Make room on the host's disk/],
  ["line\n", `${FILE} is there`, /^Run this on the host:\n {4}sudo sysctl -w /],
  ["old\n", `${FILE} is what it was`, /^Run this on the host:\n {4}echo /],
  [
    "",
    `${FILE} is empty`,
    /^Make room on the host's disk and run it again, or undo it:\n {4}portshim persist --remove$/,
  ],
  ["lin", `${FILE} is half written`, /^Make room/],
  ["other", `${FILE} holds something else`, /^Make room/],
];
for (const [text, now, next] of HALF) {
  test(`half done: ${now}`, () => {
    const after = { text, threshold: 1024 };
    assert.is(
      report.halfDone(write, BEFORE, after, 443),
      `Now ${now}; ${NAME} is 1024, and will be 443 after the host's next reboot.`,
    );
    assert.match(report.finish(write, BEFORE, after), next);
  });
}

test("half removed: remove it by hand", () => {
  const after = { text: "old\n", threshold: 1024 };
  assert.match(report.finish(remove, BEFORE, after), /^Run this on the host:\n {4}sudo rm -f /);
});

test.run();
