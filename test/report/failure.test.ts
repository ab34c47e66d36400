import * as assert from "uvu/assert";
import { type FailureCode, PortshimError } from "../../shim/lib/error.js";
import { SETTING } from "../../shim/lib/here/threshold.js";
import { suite } from "../suite.js";

const test = suite("what is said of failures");

/** Each failure's sentence, to be read through; DETAIL is what it was thrown with. */
const SENTENCES: Record<FailureCode, string> = {
  "bad-usage": "DETAIL",
  "no-setting": `port DETAIL needs privileges here, and this kernel has no ${SETTING} to lower; run the server as root, or give it CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep PROGRAM)`,
  "no-way": `cannot lower ${SETTING} from here: DETAIL`,
  refused: "permission denied by the host: DETAIL",
  "refused-another": "permission denied to another portshim, which asked the host just before",
  dismissed: "the password prompt was dismissed",
  "timed-out": "nobody answered the password prompt within DETAIL seconds",
  "bridge-failed": "cannot ask the host: DETAIL",
  "host-failed": "sysctl failed on the host: DETAIL",
  "nsenter-failed": `cannot set ${SETTING} in this container's network namespace: DETAIL`,
  "no-persist": "DETAIL",
  "persist-failed": "persist failed: DETAIL",
  "no-guard": "cannot change the host's firewall: DETAIL",
  "guard-failed": "nft failed on the host: DETAIL",
  unchanged: `the host reports success, but ${SETTING} is still DETAIL`,
  "no-user": "cannot switch to user DETAIL",
  "no-drop": "cannot switch to user DETAIL",
  "not-found": "DETAIL: No such file or directory",
  "not-executable": "DETAIL: Permission denied",
  "output-failed": "cannot write the output: DETAIL",
  "write-failed": `cannot write ${SETTING}: DETAIL`,
};
for (const [code, sentence] of Object.entries(SENTENCES)) {
  test(code, () => assert.is(new PortshimError(code as FailureCode, "DETAIL").message, sentence));
}

test.run();
