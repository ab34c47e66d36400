import * as assert from "uvu/assert";
import { SETTING, SETTING_FILE } from "../../shim/lib/here/threshold.js";
import { REASON } from "../../shim/lib/report/reason.js";
import { suite } from "../suite.js";

const test = suite("reasons");

/** Each reason, to be read through: what it is given, if anything, and what it says. */
const TABLE: {
  [K in keyof typeof REASON]: (typeof REASON)[K] extends (...given: infer Given) => string
    ? readonly [given: Given, says: string]
    : readonly [given: [], says: string];
} = {
  canWrite: [[], `can write ${SETTING_FILE}`],
  cannotWrite: [[], `cannot write ${SETTING_FILE}`],
  canBind: [[], "the server can bind the port as it is"],
  cannotBind: [[], "the server cannot bind the port as it is"],
  onlyOwnNetwork: [[], "only for a container with its own network"],
  onlyUsersPodman: [[], "only for a container that a user's own podman made"],
  ownsNetwork: [[], "the user who started this container owns its network"],
  needsPassword: [[], "polkit can ask for a password"],
  canAsk: [["flatpak-spawn"], "the host can be asked through flatpak-spawn"],
  sudoMight: [[], "sudo might not need a password"],
  onlyWithoutPkexec: [[], "only if the host has no pkexec, or with --via=run0"],
  onlyNamed: [["sudo"], "only with --via=sudo"],
  notNamed: [[], "--via does not name it"],
  otherNetwork: [
    ["a Docker container"],
    "a Docker container with its own network: the host's value does not apply here",
  ],
  unknownNetwork: [[], "cannot tell whether the network here is the host's"],
  noBridge: [[["flatpak-spawn", "host-spawn"]], "no flatpak-spawn or host-spawn here to reach the host"],
  installBridge: [[["host-spawn"], "package x"], "no host-spawn here to reach the host; install one: package x"],
  cannotReach: [[], "cannot reach the host"],
  notAsked: [[], "the host was not asked: no need"],
  answers: [[], "the host answers"],
  lacks: [[["pkexec", "run0"]], "the host has no pkexec and no run0"],
  polkitIsDown: [[], "polkit is not running on the host"],
  isRoot: [[], "portshim runs as root here"],
  isNotRoot: [[], "portshim does not run as root on the host"],
  wrongPlace: [
    ["a Kubernetes pod", "persist"],
    "this is a Kubernetes pod; persist works on the host itself, in a toolbox and in a distrobox",
  ],
  notHostsNetwork: [["a toolbox"], "this is a toolbox with its own network, which is not the host's"],
  noSuchRoute: [[["write", "sudo"]], "--via or PORTSHIM_VIA names none of write, sudo"],
  noSetting: [[], `this kernel has no ${SETTING}`],
  noNumber: [[-1], "invalid number: -1"],
  noAgent: [["Error"], "nobody can be asked for a password, as no polkit agent is running in this session (Error)"],
  systemdTimedOut: [["Error"], "nobody answered the password prompt within systemd's 25 seconds (Error)"],
  noPolkit: [["Error"], "polkit is not running (Error)"],
  polkitIsMute: [["Error"], "polkit did not answer (Error)"],
  wrongPassword: [["Error"], "wrong password, or polkit does not allow it (Error)"],
  noAnswer: [["flatpak-spawn", 10], "flatpak-spawn did not answer within 10 seconds"],
  answered: [["flatpak-spawn", "no\x1b[1m\nbus", 1], "flatpak-spawn answered: no [1m bus"],
  noMessage: [[3], "no message, exit status 3"],
  busWentAway: [["flatpak-spawn"], "flatpak-spawn ended without an answer: the session bus went away"],
  noFlatpak: [
    [],
    "the host has no flatpak, whose session helper runs commands for containers; install flatpak on the host",
  ],
  busDenies: [[], "the session bus denies access"],
  disableLabel: [[], "start the container with --security-opt label=disable"],
  beBusOwner: [[], "run portshim as the user who owns the bus"],
  othersBus: [[], "the session bus is another user's; run portshim as the user who owns the bus"],
  noBus: [[], "there is no session bus here"],
  giveBus: [
    [],
    "start the container from a login session, with its bus: -v $XDG_RUNTIME_DIR/bus:$XDG_RUNTIME_DIR/bus -e DBUS_SESSION_BUS_ADDRESS",
  ],
  loginForBus: [[], "start from a login session, which sets DBUS_SESSION_BUS_ADDRESS"],
  notUser: [[], "that is not USER or USER:GROUP"],
  noSuchUser: [[], "there is no such user in /etc/passwd"],
  noSuchGroup: [["a\x1bb"], 'there is no group "a b" in /etc/group'],
  noId: [["-1", 7], "-1 is not an id from 0 to 7"],
  invalidId: [[], "/etc/passwd or /etc/group has an invalid id"],
  onlyRoot: [[], "only root can do that"],
  lacksCapabilities: [[["CAP_SETUID", "CAP_SETGID"]], "this container's root lacks CAP_SETUID and CAP_SETGID"],
  tooMuch: [[1, 2], "more than 1 groups, or a home of 2 bytes"],
};

for (const [name, [given, says]] of Object.entries(TABLE)) {
  test(name, () => {
    const reason: string | ((...given: never[]) => string) = REASON[name as keyof typeof REASON];
    assert.is(typeof reason === "string" ? reason : reason(...(given as never[])), says);
  });
}

test("a host that says nothing", () => {
  assert.is(REASON.answered("host-spawn", "", 1), "host-spawn answered: no message, exit status 1");
});

test.run();
