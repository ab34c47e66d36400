import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { place } from "../shim/lib/place.js";
import { suite } from "./suite.js";

const test = suite("place");

const places: [name: string, files: string[], evidence: string][] = [
  ["toolbox", ["/run/.toolboxenv", "/run/.containerenv"], "/run/.toolboxenv"],
  ["podman", ["/run/.containerenv"], "/run/.containerenv"],
  ["host", [], "no sign of a container"],
];
for (const [name, files, evidence] of places) {
  test(`${name} is told by: ${evidence}`, () => {
    const root = mkdtempSync(join(tmpdir(), "place-"));
    for (const file of files) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), "");
    }
    const found = place(root);
    rmSync(root, { recursive: true });
    assert.is(found.name, name);
    assert.is(found.evidence, evidence);
  });
}

test.run();
