import { SETTING, SETTING_FILE } from "../here/threshold.js";
import { enumerated, printable } from "../text.js";

/** Every reason that portshim gives, for what it can do and for what it cannot: the middle of a sentence. */
export const REASON = {
  // Of a route.
  canWrite: `can write ${SETTING_FILE}`,
  cannotWrite: `cannot write ${SETTING_FILE}`,
  canBind: "the server can bind the port as it is",
  cannotBind: "the server cannot bind the port as it is",
  onlyOwnNetwork: "only for a container with its own network",
  onlyUsersPodman: "only for a container that a user's own podman made",
  ownsNetwork: "the user who started this container owns its network",
  needsPassword: "polkit can ask for a password",
  canAsk: (bridge: string) => `the host can be asked through ${bridge}`,
  sudoMight: "sudo might not need a password",
  onlyWithoutPkexec: "only if the host has no pkexec, or with --via=run0",
  onlyNamed: (route: string) => `only with --via=${route}`,
  notNamed: "--via does not name it",

  // Of the network here.
  otherNetwork: (place: string) => `${place} with its own network: the host's value does not apply here`,
  unknownNetwork: "cannot tell whether the network here is the host's",

  // Of the host.
  noBridge: (names: readonly string[]) => `no ${names.join(" or ")} here to reach the host`,
  installBridge: (names: readonly string[], packages: string) => `${REASON.noBridge(names)}; install one: ${packages}`,
  cannotReach: "cannot reach the host",
  notAsked: "the host was not asked: no need",
  answers: "the host answers",
  lacks: (programs: readonly string[]) => `the host has no ${programs.join(" and no ")}`,
  polkitIsDown: "polkit is not running on the host",

  // Of a command that changes the host.
  isRoot: "portshim runs as root here",
  isNotRoot: "portshim does not run as root on the host",
  wrongPlace: (place: string, command: string) =>
    `this is ${place}; ${command} works on the host itself, in a toolbox and in a distrobox`,
  notHostsNetwork: (place: string) => `this is ${place} with its own network, which is not the host's`,
  noSuchRoute: (ways: readonly string[]) => `--via or PORTSHIM_VIA names none of ${ways.join(", ")}`,
  noSetting: `this kernel has no ${SETTING}`,
  noNumber: (value: number) => `invalid number: ${value}`,

  // Of a refusal; `answer` is what the host said.
  noAgent: (answer: string) =>
    `nobody can be asked for a password, as no polkit agent is running in this session (${answer})`,
  systemdTimedOut: (answer: string) => `nobody answered the password prompt within systemd's 25 seconds (${answer})`,
  noPolkit: (answer: string) => `polkit is not running (${answer})`,
  polkitIsMute: (answer: string) => `polkit did not answer (${answer})`,
  wrongPassword: (answer: string) => `wrong password, or polkit does not allow it (${answer})`,

  // Of a host that does not answer.
  noAnswer: (bridge: string, seconds: number) => `${bridge} did not answer within ${seconds} seconds`,
  answered: (bridge: string, answer: string, status: number) =>
    `${bridge} answered: ${printable(answer) || REASON.noMessage(status)}`,
  noMessage: (status: number) => `no message, exit status ${status}`,
  busWentAway: (bridge: string) => `${bridge} ended without an answer: the session bus went away`,
  noFlatpak: "the host has no flatpak, whose session helper runs commands for containers; install flatpak on the host",
  busDenies: "the session bus denies access",
  disableLabel: "start the container with --security-opt label=disable",
  beBusOwner: "run portshim as the user who owns the bus",
  othersBus: "the session bus is another user's; run portshim as the user who owns the bus",
  noBus: "there is no session bus here",
  giveBus:
    "start the container from a login session, with its bus: -v $XDG_RUNTIME_DIR/bus:$XDG_RUNTIME_DIR/bus -e DBUS_SESSION_BUS_ADDRESS",
  loginForBus: "start from a login session, which sets DBUS_SESSION_BUS_ADDRESS",

  // Of a user to switch to.
  notUser: "that is not USER or USER:GROUP",
  noSuchUser: "there is no such user in /etc/passwd",
  noSuchGroup: (group: string) => `there is no group "${printable(group)}" in /etc/group`,
  noId: (text: string, largest: number) => `${printable(text)} is not an id from 0 to ${largest}`,
  invalidId: "/etc/passwd or /etc/group has an invalid id",
  onlyRoot: "only root can do that",
  lacksCapabilities: (names: readonly string[]) => `this container's root lacks ${enumerated(names)}`,
  tooMuch: (groups: number, home: number) => `more than ${groups} groups, or a home of ${home} bytes`,
} as const;

/** A reason that needs no words of others. */
export type Reason = { [K in keyof typeof REASON]: (typeof REASON)[K] extends string ? K : never }[keyof typeof REASON];
