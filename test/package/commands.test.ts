import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { VERSION } from "../../shim/lib/cli/version.js";
import { DISPATCHER, ROOT } from "../need.js";
import { code, codeOf } from "../page.js";
import { suite } from "../suite.js";
import { PAGES, type Seen } from "./pages.js";

const test = suite("every command of the pages was run");

/** A command at the beginning of a line. */
const COMMAND =
  /^(\$ )?([A-Z]+=\S+ )*(sudo |npx )?(curl|distrobox|docker|flatpak-spawn|gpg|node|npm|npx|pkexec|podman|portshim|portshim-images|sha256sum|skopeo|sudo|systemctl|toolbox) (?!\()/m;

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const pages = ["", "bench", "docs", "examples", "images", "shim"].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name)),
);

test("each page with code is known", () => {
  assert.equal(pages.filter((page) => code(read(page)).length > 0).sort(), Object.keys(PAGES).sort());
});

/** A file of the tests has this text. */
function seen([file, literal]: Seen, command: string): void {
  assert.ok(existsSync(join(ROOT, file)), file);
  assert.ok(read(file).includes(literal ?? command), `${file} has no ${literal ?? command}`);
}

const PROOFS = {
  run: (seens: readonly Seen[], block: string, beginning: string) => {
    const lines = block.trimEnd().split("\n");
    assert.ok(seens.length === 1 || seens.length === lines.length, beginning);
    if (seens.length === 1) seen(seens[0] as Seen, beginning);
    else for (const [index, one] of seens.entries()) seen(one, (lines[index] ?? "").replace(/ {2}.*/, ""));
  },
  help: (command: string, block: string) => {
    const program = command === "portshim-images" ? join(ROOT, "images", command) : DISPATCHER;
    const argv = [...(command === "portshim-images" ? [] : command.split(" ").filter(Boolean)), "--help"];
    const { stdout } = spawnSync(program, argv, { encoding: "utf8" });
    const words = block.match(/--[a-z-]+(?=[\]= ])|-t NAME|^portshim(-images)? [a-z[]+/gm) ?? [];
    assert.ok(words.length > 0);
    for (const word of words) assert.ok(stdout.includes(word.replace("portshim-images ", "  ")), `${command}: ${word}`);
  },
  text: (_: true, block: string) => assert.not.match(block, COMMAND),
  untested: (why: string, block: string) => {
    assert.ok(why.length > 20);
    assert.match(block, COMMAND);
  },
};

for (const [page, known] of Object.entries(PAGES)) {
  test(page, () => {
    const blocks = code(read(page));
    if ("whole" in known) return seen([known.whole as string, "every block of the page was run"], "");
    for (const block of blocks) {
      const keys = Object.keys(known).filter((key) => block.startsWith(key));
      assert.is(keys.length, 1, `${page}: who runs this?\n${block}`);
    }
    for (const [beginning, proof] of Object.entries(known)) {
      const [block, another] = blocks.filter((one) => one.startsWith(beginning));
      if (block === undefined || another !== undefined) throw new Error(`${page}: not one block ${beginning}`);
      for (const [kind, value] of Object.entries(proof))
        PROOFS[kind as keyof typeof PROOFS](value as never, block, beginning);
    }
  });
}

test.run();

const real = suite("the commands of a checkout", "namespaces", "nodes");

/** Runs a command in this checkout. */
function shell(command: string, more: NodeJS.ProcessEnv = {}): string {
  // Nothing new is to come from the registry.
  const env = { ...process.env, npm_config_offline: "true", npm_config_audit: "false", ...more };
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], { cwd: ROOT, env, encoding: "utf8" });
  assert.is(status, 0, `${command}: ${stdout}${stderr}`);
  return stdout;
}

real("README: the demo", () => {
  const command = codeOf("README.md", "npm install && npm run demo");
  assert.match(shell(command), /serving on 80, pid \d+\n$/);
  assert.is(codeOf("CONTRIBUTING.md", "npm install").replace("\n", " && "), command);
});

real("README: portshim is installed", () => {
  const prefix = mkdtempSync(join(tmpdir(), "portshim-prefix-"));
  try {
    // Into a folder of its own, for which nobody has to be root.
    shell(codeOf("README.md", "npm install && sudo npm install -g ./shim").replace("sudo ", ""), {
      npm_config_prefix: prefix,
    });
    assert.is(shell(`${prefix}/bin/portshim --version`), `portshim ${VERSION}\n`);
  } finally {
    rmSync(prefix, { recursive: true });
  }
});

real("CONTRIBUTING.md: some of the tests", () => {
  const commands = codeOf("CONTRIBUTING.md", "npm test  ")
    .replace(/ {2,}.*$/gm, "")
    .split("\n");
  assert.equal(commands.slice(1, 3), ["npm test -- persist", "node build/plan/plan.test.js"]);
  // Those that are quick.
  assert.match(shell(`${commands[1]}`.replace("persist", "text.test")), /\n[1-9]\d* passed, 0 failed, 0 skipped\n$/);
  assert.match(shell(`${commands[2]}`), /Passed: +\S*[1-9]/);
});

real.run();
