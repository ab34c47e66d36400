import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { COMMAND_NAMES } from "../../shim/lib/cli/arguments.js";
import { ROOT } from "../need.js";
import { page } from "../page.js";
import { suite } from "../suite.js";

const test = suite("manual pages and completion, installed as docs/portshim.md says", "manual");

/** The commands of its section, without the blank before them. */
const SECTION = page("portshim.md").split("## Manual pages and completion\n")[1] ?? "";
const [COPY = "", UNPACK = ""] = SECTION.split("\n\n")
  .filter((block) => block.startsWith("    "))
  .map((block) => block.replace(/^ {4}/gm, ""));

const PAGES = {
  portshim: ["portshim", ...COMMAND_NAMES.map((name) => `portshim-${name}`)],
  "portshim-images": ["portshim-images"],
};

const COMPLETIONS = (name: string) => [
  `bash-completion/completions/${name}`,
  `fish/vendor_completions.d/${name}.fish`,
  `zsh/site-functions/_${name}`,
];

/** Where everything is that a test installs. */
let folder: string;

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), "portshim-installation-"));
});
test.after(() => rmSync(folder, { recursive: true }));

/** Runs it as somebody whose home, and whose npm's prefix, is this folder. */
function run(home: string, argv: readonly [string, ...string[]], cwd = home): string {
  const [program, ...rest] = argv;
  const PATH = `${home}/.local/bin:${process.env.PATH}`;
  const env = { ...process.env, HOME: home, PATH, npm_config_prefix: join(home, "npm"), XDG_DATA_HOME: undefined };
  return execFileSync(program, rest, { cwd, env, encoding: "utf8" });
}

for (const [name, pages] of Object.entries(PAGES)) {
  const source = join(ROOT, name === "portshim" ? "shim" : "images");
  const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  const packed = `${name}-${version}.tgz`;

  test.before(() => {
    // Without the launchers, which take a compiler.
    execFileSync("npm", ["pack", "--silent", "--ignore-scripts", `--pack-destination=${folder}`], { cwd: source });
  });

  test(`${name}: by npm, and its completion by a copy`, () => {
    const home = join(folder, `npm ${name}`);
    mkdirSync(home);
    execFileSync("tar", ["-xzf", join(folder, packed), "-C", home]);
    // What it depends on would have to be fetched.
    const manifest = join(home, "package", "package.json");
    writeFileSync(manifest, JSON.stringify({ ...JSON.parse(readFileSync(manifest, "utf8")), dependencies: {} }));
    execFileSync("tar", ["-czf", "package.tgz", "package"], { cwd: home });
    run(home, ["npm", "install", "--global", "--offline", "--ignore-scripts", "--silent", "./package.tgz"]);
    for (const one of pages) {
      const path = run(home, ["man", "-M", join(home, "npm", "share", "man"), "-w", one]).trim();
      assert.is(
        realpathSync(path),
        realpathSync(join(home, "npm/lib/node_modules", name, "share/man/man1", `${one}.1`)),
      );
    }
    run(home, ["bash", "-euc", COPY.replace("/portshim/", `/${name}/`)]);
    for (const one of COMPLETIONS(name)) assert.ok(existsSync(join(home, ".local", "share", one)), one);
  });

  test(`${name}: out of the package's file`, () => {
    const home = join(folder, `tar ${name}`);
    mkdirSync(join(home, ".local", "bin"), { recursive: true });
    run(home, ["bash", "-euc", UNPACK.replace("portshim-VERSION.tgz", packed)], folder);
    for (const one of pages) {
      assert.is(run(home, ["man", "-w", one]).trim(), join(home, ".local", "share", "man", "man1", `${one}.1`));
      assert.match(run(home, ["man", one]), new RegExp(`\\n +${one} [—–-] `));
    }
    const files = readdirSync(join(home, ".local", "share"), { recursive: true, encoding: "utf8" });
    for (const one of COMPLETIONS(name)) assert.ok(files.includes(one), one);
  });
}

test.run();
