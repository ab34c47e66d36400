import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { cannotKeep, keeping, removal } from "../../shim/lib/cli/persist.js";
import { has, inPodman, inToolbox, onHost } from "../situation.js";
import { suite } from "../suite.js";

const test = suite("persist");

const ELSEWHERE = "persist works on the host itself, in a toolbox and in a distrobox";

for (const [name, facts, reason] of [
  ["the host itself", onHost(), undefined],
  [
    "a toolbox that does not see the host's files",
    inToolbox({ place: { ...inToolbox().place, hostRoot: "/nonexistent" } }),
    "cannot read the host's /etc/sysctl.d from here",
  ],
  ["a container", inPodman(), `this is a rootless podman container; ${ELSEWHERE}`],
  [
    "a toolbox with its own network",
    inToolbox({ network: "own" }),
    "this is a toolbox with its own network, which is not the host's",
  ],
  ["a host that does not answer", inToolbox({ network: "unknown", host: { problem: "no bus" } }), "no bus"],
  [
    "no bridge",
    inToolbox({ network: "unknown", bridge: undefined, host: undefined }),
    "no flatpak-spawn or host-spawn here to reach the host; install one: package flatpak-spawn on Fedora, flatpak-xdg-utils on Debian and Ubuntu",
  ],
  [
    "a network nobody knows",
    inToolbox({ network: "unknown", networkNamespace: undefined }),
    "cannot tell whether the network here is the host's",
  ],
  [
    "a kernel without the setting",
    inToolbox({ threshold: undefined }),
    "this kernel has no net.ipv4.ip_unprivileged_port_start",
  ],
] as const) {
  test(`whether it can be done: ${name}`, () => assert.is(cannotKeep(facts), reason));
}

/** The most characters that polkit 126 shows of a command line; it cuts the middle out of a longer one. */
const SHOWN = 80;
const NAME = "net.ipv4.ip_unprivileged_port_start";
const FILE = "/etc/sysctl.d/90-portshim.conf";
const NIXOS = "/run/current-system/sw/bin";

function inRoot(files: Record<string, string>, look: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), "persist-"));
  mkdirSync(join(root, "etc/sysctl.d"), { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
  try {
    look(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const wanting = (value: number) => ({ wanted: { value, by: "--start", fromFile: false } });
const declared = { file: "/etc/sysctl.d/50-admin.conf", line: 1, text: "1000", value: 1000 };

test("each command that root runs is plain, and short enough for polkit's prompt to show all of it", () => {
  inRoot({ [FILE]: "# Written by portshim persist\n" }, (root) => {
    const kept = { ...wanting(1000), afterRestart: { declared, invalid: [] } };
    const works = [
      keeping(inToolbox(wanting(1000)), root),
      keeping(inToolbox({ ...wanting(1000), threshold: 80 }), root),
      keeping(inToolbox(kept), root),
      keeping(inToolbox({ ...kept, host: has({ sysctl: `${NIXOS}/sysctl` }) }), root),
      removal(root),
    ];
    const all = works.map((work) => work?.argv().join(" ") ?? "");
    assert.equal(all, [
      `/bin/sh -c umask 022; tee ${FILE} | sysctl -p -`,
      `/bin/sh -c umask 022; tee ${FILE}`,
      `/usr/sbin/sysctl -w ${NAME}=1000`,
      `${NIXOS}/sysctl -w ${NAME}=1000`,
      `/bin/sh -c rm -f ${FILE} || exit; sysctl -p -`,
    ]);
    for (const shown of all) {
      // MATE's agent shows nothing of a text with these: it parses markup.
      assert.ok(shown.length <= SHOWN && !/[&<>]/.test(shown), shown);
    }
  });
});

test("stdin is the file's text; with --remove, what the other files set", () => {
  inRoot({ [FILE]: "", "/etc/sysctl.d/50-admin.conf": `${NAME} = 443\n` }, (root) => {
    const { input, text } = keeping(inToolbox(), root);
    assert.is(input, text);
    assert.match(input ?? "", `\n${NAME} = 80\n`);
    assert.equal([removal(root)?.input, removal(root)?.text], [`${NAME} = 443\n`, undefined]);
  });
  inRoot({}, (root) => assert.is(removal(root), undefined));
});

test("only an integer reaches root", () => {
  for (const value of [Number.NaN, 80.5, -1, "80\nkernel.core_pattern = x" as unknown as number]) {
    inRoot({}, (root) => assert.throws(() => keeping(inToolbox(wanting(value)), root), /invalid number/));
  }
});

test.run();
