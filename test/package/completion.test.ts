import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import type { Option } from "../../images/lib/command.js";
import { COMMANDS as IMAGES_COMMANDS } from "../../images/lib/commands.js";
import { RECIPES } from "../../images/lib/recipe.js";
import { COMMAND_NAMES, optionsOf } from "../../shim/lib/cli/arguments.js";
import { ROUTES } from "../../shim/lib/plan/route.js";
import { BASH_COMPLETION, type NeedName, ROOT } from "../need.js";
import { suite } from "../suite.js";

/** A shell that a person types into. */
interface Shell {
  /** What it would put at the end of this line: whole words, or the parts of the last one that it adds. */
  complete(line: string): Promise<string[]>;
  /** What the line's words are after one press of TAB, if they are followed by a bar: whether TAB adds a blank shows. */
  tab(line: string): Promise<string>;
  /** Presses TAB at the end of this line, and gives it up. */
  press(line: string): Promise<void>;
  /** Presses TAB at the end of this line, waits until this is shown, and gives the line up. */
  shows(line: string, pattern: RegExp): Promise<void>;
  end(): void;
}

/** A home in which the completions are where people install them, a command of the tests', and a file to name. */
const home = mkdtempSync(join(tmpdir(), "portshim-completion-"));
const share = join(home, ".local", "share");
const bin = join(home, "bin");
const ENV = {
  HOME: home,
  PATH: [bin, process.env.PATH].join(delimiter),
  LC_ALL: "C.UTF-8",
  TERM: "dumb",
  INPUTRC: "/dev/null",
};
for (const name of ["shim", "images"]) cpSync(join(ROOT, name, "share"), share, { recursive: true });
mkdirSync(bin);
for (const name of ["portshim", "portshim-images", "frobnicate"]) {
  writeFileSync(join(bin, name), "#!/bin/sh\n", { mode: 0o755 });
}
writeFileSync(join(home, "notes.txt"), "");
process.on("exit", () => rmSync(home, { recursive: true }));

/** Milliseconds for a shell to answer. */
const PATIENCE = 20_000;

/** Prints its arguments between marks that are not in what was typed. */
const SHOW = `show() { printf '<%s' '<'; printf '[%s]' "$@"; printf '%s>\\n' '>'; }
portshim() { show "$@"; }; portshim-images() { show "$@"; }`.replace("\n", "; ");

/** Empties the line. */
const CTRL_U = "\x15";

/** Starts a program that is spoken with. */
function converse(program: string, ...argv: string[]) {
  const child = spawn(program, argv, { cwd: home, env: ENV });
  let screen = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    screen += text;
  });
  return {
    /** Types this, and waits until it has shown that: its first group, or all of it. */
    async shown(keys: string, pattern: RegExp): Promise<string> {
      const before = screen.length;
      child.stdin.write(keys);
      for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
        const [all, part = all] = pattern.exec(screen.slice(before)) ?? [];
        if (part !== undefined) return part;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      throw new Error(`no ${pattern} after ${JSON.stringify(keys)}: ${JSON.stringify(screen.slice(before))}`);
    },
    end: () => void child.kill(),
  };
}

/** A shell on a terminal. `all` is the key that puts all completions into the line. */
async function onTerminal(command: string, setUp: string, all: string): Promise<Shell> {
  const { shown, end } = converse("script", "-qefc", command, "/dev/null");
  /** Types this, and waits for what show() prints. */
  const type = (keys: string) => shown(keys, /<<([\s\S]*?)>>/);
  const words = (text: string) => [...text.matchAll(/\[([^\]]*)\]/g)].map(([, word = ""]) => word);
  await type(`${SHOW}; ${setUp}; show ready\n`);
  return {
    complete: async (line) => words(await type(`${line}${all}\n`)).slice(line.split(" ").length - 2),
    tab: async (line) => words(await type(`${line}\t"|"\n`)).join(" "),
    press: async (line) => void (await type(`${line}\t${CTRL_U}show done\n`)),
    shows: async (line, pattern) => {
      // zsh lists nothing while more has been typed.
      await shown(`${line}\t`, pattern);
      await type(`${CTRL_U}show done\n`);
    },
    end,
  };
}

const bash = (setUp: string) => onTerminal("bash --norc --noprofile", `bind 'set bell-style none'; ${setUp}`, "\x1b*");

const SHELLS: readonly [name: string, needs: NeedName[], open: () => Promise<Shell>][] = [
  [
    "bash with bash-completion",
    ["bash", "bash-completion"],
    () => bash(`. ${BASH_COMPLETION}; complete -W 'alpha beta --viable' frobnicate`),
  ],
  ["bash alone", ["bash"], () => bash(`for file in ~/.local/share/bash-completion/completions/*; do . "$file"; done`)],
  [
    "zsh",
    ["zsh"],
    () =>
      onTerminal(
        "zsh -f",
        [
          "fpath=(~/.local/share/zsh/site-functions $fpath)",
          "autoload -U compinit; compinit -u -D",
          "_frobnicate() { compadd -- alpha beta --viable }; compdef _frobnicate frobnicate",
          // By default TAB expands a word before it completes it: that runs $(…), whatever the command is.
          "bindkey '^I' complete-word",
          // What puts all completions into the line.
          "zstyle ':completion:all-matches:*' completer _all_matches _complete",
          "zstyle ':completion:all-matches:*' insert true",
          "zle -C all-matches complete-word _generic; bindkey '^Xa' all-matches",
        ].join("; "),
        "\x18a",
      ),
  ],
  [
    "fish",
    ["fish"],
    async () => {
      const own = "complete -c frobnicate -f -a 'alpha beta --viable'";
      const { shown, end } = converse("fish", "-c", `${own}; while read -lz line; complete -C $line; echo '>>'; end`);
      const ask = (line: string) => shown(`${line}\0`, /^([\s\S]*)>>\n$/);
      const complete = async (line: string) => [...(await ask(line)).matchAll(/^[^\t\n]+/gm)].map(([word]) => word);
      return {
        complete,
        tab: async (line) => (await complete(line)).join(" "),
        press: async (line) => void (await ask(line)),
        shows: async (line, pattern) => assert.match(await ask(line), pattern),
        end,
      };
    },
  ],
];

const ROUTE_NAMES = ROUTES.map(({ name }) => name);
const flagsOf = (options: readonly { flag: string }[]) => options.map(({ flag }) => flag);
const flagsIn = (command: keyof typeof IMAGES_COMMANDS) => {
  const options = Object.entries<Option>(IMAGES_COMMANDS[command].options);
  const flags = options.flatMap(([name, { short }]) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
  return [...flags, "--host", "--help"];
};

const CASES: readonly [line: string, expected: readonly string[], not?: string][] = [
  ["portshim ", ["--", ...COMMAND_NAMES]],
  ["portshim -", ["--", ...flagsOf(optionsOf("start"))]],
  ["portshim --v", ["--verbose", "--version", "--via"]],
  ["portshim --start=80 --v", ["--verbose", "--version", "--via"]],
  ["portshim --start=80 ", ["--"]],
  ["portshim --start 80 --tim", ["--timeout"]],
  ["portshim --start=80 ch", []],
  ...COMMAND_NAMES.map((name): [string, string[]] => [`portshim ${name} -`, flagsOf(optionsOf(name))]),
  ["portshim persist ", flagsOf(optionsOf("persist")), "fish"],
  ["portshim --via=", ROUTE_NAMES],
  ["portshim --via ", ROUTE_NAMES],
  ["portshim --via=pkexec,", ROUTE_NAMES.filter((name) => name !== "pkexec")],
  ["portshim --via=write,pkexec,s", ["sudo"]],
  ["portshim --via write,r", ["run0"]],
  ["portshim guard --via=", ["write", "pkexec", "run0", "sudo"]],
  ["portshim --user=roo", ["root"]],
  ["portshim --user roo", ["root"]],
  ["portshim --user=root:daem", ["daemon"]],
  ["portshim check --user root:daem", ["daemon"]],
  ["portshim --timeout=", []],
  ["portshim --timeout ", []],
  ["portshim -- frobni", ["frobnicate"]],
  ["portshim -- frobnicate al", ["alpha"], "bash alone"],
  ["portshim --via=write -- frobnicate --v", ["--viable"], "bash alone"],
  ["portshim -- cat no", ["notes.txt"]],
  ["portshim-images ", Object.keys(IMAGES_COMMANDS)],
  ["portshim-images -", ["--help", "--version"]],
  ["portshim-images build ", RECIPES.map(({ name }) => name)],
  ["portshim-images build lay", ["layer"]],
  ["portshim-images wrap web:1 -", flagsIn("wrap")],
  ["portshim-images build -", flagsIn("build")],
  ["portshim-images check web:1 --", flagsIn("check")],
];

/** Lines whose last word can be completed in one way, and their words afterwards. */
const TABS: readonly [line: string, expected: string, not?: string][] = [
  ["portshim --verb", "--verbose |"],
  ["portshim --tim", "--timeout=|"],
  ["portshim che", "check |"],
  // zsh adds a comma, which the next blank removes.
  ["portshim --via=nse", "--via=nsenter|", "zsh"],
  ["portshim --via=nsenter,ru", "--via=nsenter,run0|", "zsh"],
  ["portshim --user=roo", "--user=root |"],
  ["portshim --user=root:daem", "--user=root:daemon |"],
  ["portshim-images wrap web:1 --ta", "wrap web:1 --tag |", "zsh"],
];

/** The part of a word after what stays of it: shells tell the whole word, or only what they add. */
function last(word: string): string {
  return word.replace(/=$/, "").replace(/^(--\w+=)?([\w]+[,:])*/, "");
}

for (const [name, needs, open] of SHELLS) {
  const test = suite(`completion in ${name}`, ...needs);
  let shell: Shell;

  test.before(async () => {
    shell = await open();
  });
  test.after(() => shell.end());

  for (const [line, expected, not] of CASES) {
    if (not === name) continue;
    test(`${line}: ${expected.join(" ") || "nothing"}`, async () => {
      const typed = line.split(" ").at(-1) as string;
      const words = await shell.complete(line);
      // A line that cannot be completed stays as it is.
      const found = words.join() === typed ? [] : words.map(last);
      assert.equal([...new Set(found)].sort(), [...expected].sort());
    });
  }

  // What stands in the line is never run, nor does it keep the shell from answering.
  for (const odd of ["$(>ran)", "`>ran`", "(touch ran)", "a b", "*", "[", "%s", "\\\\", "'", '"'] as const) {
    for (const line of [
      `portshim --via=${odd},`,
      `portshim --user=${odd}:`,
      `portshim ${odd} --v`,
      `portshim check ${odd}`,
    ]) {
      test(`${line}: nothing is run`, async () => {
        await shell.press(line);
        assert.not(readdirSync(home).includes("ran"));
        assert.equal(await shell.complete("portshim --verb"), ["--verbose"]);
      });
    }
  }

  for (const [line, expected, not] of TABS) {
    if (name !== "fish" && name !== not)
      test(`${line} and TAB: ${expected}`, async () => assert.is(await shell.tab(line), expected));
  }

  if (name === "zsh") {
    test("a list ends without a comma", async () => {
      assert.is(await shell.tab("portshim --via=nse\t --start=443 --tim"), "--via=nsenter --start=443 --timeout=|");
      assert.is(await shell.tab("portshim --via=nse\tru\t --tim"), "--via=nsenter,run0 --timeout=|");
    });
  }

  if (!name.startsWith("bash")) {
    test("what it would do is beside each word, as in --help", async () => {
      await shell.shows("portshim --ver", /--verbose(?: +-- |\t)say what was found and decided/);
      await shell.shows("portshim --via=", /nsenter(?: +-- |\t)have the host set it in this container's own/);
      await shell.shows("portshim-images ", /build(?: +-- |\t)build layer, toolbox, node/);
    });
  }
  test.run();
}
