// Who runs which command of the pages. Not in the test that checks it: there each text would be found.

/** A file of the tests, and what in it shows that it runs the command, or compares the text: the command itself, or this. */
export type Seen = readonly [file: string, literal?: string];

/** How it is known that a block of code is right. */
type Proof =
  /** One for the block, or for each line. */
  | { readonly run: readonly Seen[] }
  /** The options of a command: its --help lists them. */
  | { readonly help: string }
  /** No command: what a program prints, or a drawing. */
  | { readonly text: true }
  /** A command that no test runs, and why. */
  | { readonly untested: string };

const run = (...seen: Seen[]): Proof => ({ run: seen });
const help = (of: string): Proof => ({ help: of });
const TEXT: Proof = { text: true };
const untested = (why: string): Proof => ({ untested: why });

const HERE = "test/package/commands.test.ts";
const PUBLISHING = run(["test/lab/publishing.test.ts", "^## Publishing a port"]);
const INSTALLATION: Seen = ["test/package/installation.test.ts", 'const [COPY = "", UNPACK = ""] = SECTION'];
const ENTER = "it opens a shell on a terminal; startLab() boots and enters the same host";

/** Every block of every page, by how it begins; or the test that itself demands each of its blocks. */
export const PAGES: Readonly<Record<string, Readonly<Record<string, Proof>> | { readonly whole: string }>> = {
  "README.md": {
    "nginx: [emerg] bind() to 0.0.0.0:80 failed": TEXT,
    "portshim -- node server.js": run(["test/demo.sh"]),
    "portshim: /etc/sysctl.d/80-web.conf:2 sets": run(["test/lab/toolbox.test.ts", "assert.match(readme, "]),
    "Error: pasta failed with exit code 1:": PUBLISHING,
    "portshim persist": PUBLISHING,
    "portshim -- flatpak-spawn --host podman run -p 80:80 …": PUBLISHING,
    "npm install && npm run demo": run([HERE]),
    "npm install && npm test": run([".ci/run", "npm install --no-audit --no-fund && npm test"]),
    "npm install && sudo npm install -g ./shim": run([HERE]),
    "COPY --from=portshim / /": run(["examples/node/Containerfile"], ["examples/node/Containerfile"]),
    "$ npx portshim-images wrap web:1": run(["test/lab/images-wrap.test.ts"]),
  },
  "shim/README.md": {
    "Error: listen EACCES: permission denied 0.0.0.0:80": TEXT,
    "portshim -- node server.js": run(["test/demo.sh"]),
    'import { ensurePorts } from "portshim";': run(["test/lab/library.test.ts"]),
  },
  "images/README.md": { "portshim-images wrap web:1 ": run(["test/lab/images-wrap.test.ts"]) },
  "examples/README.md": { whole: "test/lab/examples.test.ts" },
  "SECURITY.md": {
    "pkexec /usr/sbin/sysctl -w net.ipv4.ip_unprivileged_port_start=80": run([
      "test/lab/persist.test.ts",
      'codeOf("SECURITY.md"',
    ]),
  },
  "CONTRIBUTING.md": {
    "npm install": run([HERE], [HERE]),
    "npm test  ": run(
      [".ci/run", "npm install --no-audit --no-fund && npm test"],
      [HERE, "npm test -- persist"],
      [HERE, "node build/plan/plan.test.js"],
      ["test/launcher/fuzz.test.ts", "npm run fuzz"],
    ),
    "LONG=1 npm test -- load faults": untested("it takes ten minutes; npm test runs the same tests with fewer steps"),
    "sudo test/lab/host.sh  ": untested(ENTER),
  },
  "docs/alternatives.md": { whole: "test/lab/alternatives.test.ts" },
  "docs/architecture.md": { "portshim (native, one process)": TEXT },
  "docs/check.md": {
    "portshim check [--json]": help("check"),
    "  place         toolbox (/run/.toolboxenv)": run(["test/lab/check.test.ts"]),
    "portshim check --json | jq -r .verdict": run(["test/lab/check.test.ts"]),
  },
  "docs/guard.md": {
    "portshim guard [--ports=PORT,…]": help("guard"),
    "pkexec /usr/sbin/nft -e -f -": run(["test/lab/guard.test.ts", 'codeOf("docs/guard.md", `pkexec ']),
    "sudo nft list table inet portshim |": run(["test/lab/guard.test.ts", 'codeOf("docs/guard.md", LIST)']),
  },
  "docs/images.md": {
    "podman build -t portshim .": run([
      "test/lab/images-containerfile.test.ts",
      '"podman", "build", "--isolation=chroot"',
    ]),
    "docker build -t portshim -f Containerfile .": run(["test/lab/images-containerfile.test.ts"]),
    "COPY --from=portshim / /": run(["test/lab/images-containerfile.test.ts"]),
    "portshim-images wrap IMAGE [-t NAME:TAG]": help("portshim-images"),
  },
  "docs/library.md": {
    'import { ensurePorts } from "portshim";': run(["test/lab/library.test.ts"]),
    "async function listen(": run(["test/library/index.test.ts", "framework.includes(blocks.at(-1)"]),
  },
  "docs/persist.md": {
    "portshim persist [--start=N]": help("persist"),
    "pkexec /bin/sh -c 'umask 022;": run([
      "test/lab/persist.test.ts",
      'codeOf("docs/persist.md", `pkexec /bin/sh -c \'umask',
    ]),
    "pkexec /bin/sh -c 'rm -f ": run(["test/lab/persist.test.ts", 'codeOf("docs/persist.md", `pkexec /bin/sh -c \'rm']),
    "portshim: persist failed: tee:": TEXT,
  },
  "docs/releasing.md": {
    "sudo tar -C /usr/local -xzf": run(["test/lab/release.test.ts", `documented("sudo tar`]),
    "podman load -i": run(["test/lab/release.test.ts", `documented("podman load`]),
    "sudo apt install": run(
      ["test/lab/release.test.ts", `documented("sudo apt install`],
      ["test/lab/release.test.ts", `documented("sudo dnf install`],
    ),
    "sha256sum --check SHA256SUMS": run(["test/package/release.test.ts", "sha256sum"]),
    "npm version 9.8.7": run(["test/package/release.test.ts", 'codeOf("docs/releasing.md", "npm version")']),
    "git commit": run(
      ["test/package/release.test.ts", 'codeOf("docs/releasing.md", "git commit")'],
      ["test/package/release.test.ts", 'codeOf("docs/releasing.md", "git commit")'],
    ),
    "gpg --armor": run(["test/package/release.test.ts"]),
    "gpg --verify": run(["test/package/release.test.ts"]),
    "npm publish": run(
      ["test/package/release.test.ts", 'codeOf("docs/releasing.md", "npm publish")'],
      ["test/package/release.test.ts", 'codeOf("docs/releasing.md", "npm publish")'],
    ),
    "skopeo copy": run(["test/lab/release.test.ts", `documented("skopeo copy`]),
  },
  "docs/portshim.md": {
    "portshim [options] -- command [argument…]": help(""),
    "mkdir -p ~/.local/share\ncp": run(INSTALLATION),
    "mkdir -p ~/.local\ntar": run(INSTALLATION),
  },
};
