import type { FailureCode } from "../error.js";
import { SETTING } from "../here/threshold.js";

/** Every way in which portshim can fail, by code: one sentence that says what failed. */
export const FAILURE: Record<FailureCode, (detail: string) => string> = {
  "bad-usage": (detail) => detail,
  "no-setting": (port) =>
    `port ${port} needs privileges here, and this kernel has no ${SETTING} to lower; run the server as root, or give it CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep PROGRAM)`,
  "no-way": (detail) => `cannot lower ${SETTING} from here: ${detail}`,
  refused: (detail) => `permission denied by the host: ${detail}`,
  // launcher.c says the same.
  "refused-another": () => "permission denied to another portshim, which asked the host just before",
  dismissed: () => "the password prompt was dismissed",
  "timed-out": (seconds) => `nobody answered the password prompt within ${seconds} seconds`,
  "bridge-failed": (detail) => `cannot ask the host: ${detail}`,
  "host-failed": (detail) => `sysctl failed on the host: ${detail}`,
  "nsenter-failed": (detail) => `cannot set ${SETTING} in this container's network namespace: ${detail}`,
  "no-persist": (detail) => detail,
  "persist-failed": (detail) => `persist failed: ${detail}`,
  "no-guard": (detail) => `cannot change the host's firewall: ${detail}`,
  "guard-failed": (detail) => `nft failed on the host: ${detail}`,
  unchanged: (detail) => `the host reports success, but ${SETTING} is still ${detail}`,
  // The launcher says the same, but knows only the user's number.
  "no-user": (detail) => `cannot switch to user ${detail}`,
  "no-drop": (detail) => `cannot switch to user ${detail}`,
  // In the words of exec, and of the launcher.
  "not-found": (command) => `${command}: No such file or directory`,
  "not-executable": (command) => `${command}: Permission denied`,
  "output-failed": (detail) => `cannot write the output: ${detail}`,
  "write-failed": (detail) => `cannot write ${SETTING}: ${detail}`,
};
