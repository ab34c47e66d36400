import * as assert from "uvu/assert";
import { findBridge } from "../shim/lib/bridge.js";
import type { Place } from "../shim/lib/place.js";
import { suite } from "./suite.js";

const test = suite("bridge");

const TOOLBOX: Place = { name: "toolbox", what: "a toolbox", evidence: "", isHost: false, sharesNetwork: true };
const FEDORA = "/usr/bin/flatpak-spawn";
const DEBIAN = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";

for (const path of [FEDORA, DEBIAN]) {
  test(`${path} runs the host's command from / with an empty environment`, () => {
    const bridge = findBridge(TOOLBOX, (candidate) => candidate === path);
    const options = ["--host", "--watch-bus", "--directory=/", "--clear-env"];
    assert.equal(bridge?.command(["/usr/bin/true", "x"]), [path, ...options, "/usr/bin/true", "x"]);
  });
}

test("where both are, the one on PATH is taken", () => {
  assert.is(findBridge(TOOLBOX, () => true)?.path, FEDORA);
});

test("none installed", () => {
  assert.is(
    findBridge(TOOLBOX, () => false),
    undefined,
  );
});

test("on the host itself commands run as they are", () => {
  const bridge = findBridge({ ...TOOLBOX, name: "host", isHost: true }, () => false);
  assert.equal(bridge?.command(["/usr/bin/true"]), ["/usr/bin/true"]);
});

test.run();
