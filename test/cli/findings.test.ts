import * as assert from "uvu/assert";
import { find, wantedPorts } from "../../shim/lib/cli/findings.js";
import { planFor } from "../../shim/lib/plan/plan.js";
import { inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("what check finds");

const found = (facts = inToolbox()) => find(facts, planFor(facts), false);

test("the ports that --bind tries: the first wanted one, and the web's above it", () => {
  assert.equal([0, 1, 80, 81, 443, 1024].map(wantedPorts), [
    [80, 443],
    [1, 80, 443],
    [80, 443],
    [81, 443],
    [443],
    [1024],
  ]);
});

test("how long the threshold lasts, by network and route", async () => {
  const nothing = { declared: undefined, invalid: [] };
  const low = { threshold: 80, declaredHere: nothing };
  const lasts = async (facts: ReturnType<typeof inToolbox>) => (await found(facts)).lasts;
  assert.equal(
    [
      await lasts(inToolbox()),
      await lasts(inToolbox(low)),
      await lasts(onHost(low)),
      await lasts(onHost({ threshold: 80 })),
      await lasts(inPodman({ ...low, network: "own" })),
      await lasts(inPodman({ ...low, network: "unknown" })),
      await lasts(inPodman({ network: "own", mayBind: true })),
      await lasts(inToolbox({ threshold: undefined, mayBind: true })),
      await lasts(inPodman({ network: "unknown", host: undefined })),
    ],
    ["restart", "restart", "restart", "kept", "container", "namespace", "server", "server", "none"],
  );
});

test("the JSON's hostThreshold: ours, if the network is the host's", async () => {
  const host = { networkNamespace: 1, programs: {}, threshold: 443 };
  const values = [
    inToolbox({ host }),
    inPodman({ host, network: "own" }),
    inPodman({ host: { problem: "no bus" }, network: "unknown" }),
  ];
  assert.equal(await Promise.all(values.map(async (facts) => (await found(facts)).hostThreshold)), [1024, 443, null]);
});

test.run();
