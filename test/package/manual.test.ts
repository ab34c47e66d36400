import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { COMMON, COMMANDS as IMAGES_COMMANDS } from "../../images/lib/commands.js";
import { STATUSES } from "../../images/lib/help.js";
import { optionsOf, type Purpose, parse } from "../../shim/lib/cli/arguments.js";
import { COMMANDS } from "../../shim/lib/cli/commands.js";
import { statuses } from "../../shim/lib/cli/help.js";
import { ROUTES } from "../../shim/lib/plan/route.js";
import { ROOT } from "../need.js";
import { page } from "../page.js";
import { suite } from "../suite.js";

const test = suite("manual pages", "manual");

const COLUMNS = 80;

/** What a page is about. */
const PURPOSES: readonly [name: string, purpose: Purpose][] = [
  ["portshim", "start"],
  ...COMMANDS.map(({ name }): [string, Purpose] => [`portshim-${name}`, name]),
];
const IMAGES = "portshim-images";
const PAGES = [...PURPOSES.map(([name]) => name), IMAGES];

function sourceOf(name: string): string {
  return join(ROOT, name === IMAGES ? "images" : "shim", "share", "man", "man1", `${name}.1`);
}

/** A page as a person reads it, without what makes words bold. */
function read(name: string): string {
  const options = { encoding: "utf8", env: { ...process.env, MANWIDTH: `${COLUMNS}`, LC_ALL: "C.UTF-8" } } as const;
  const text = execFileSync("mandoc", ["-T", "utf8", "-O", `width=${COLUMNS}`, sourceOf(name)], options);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a letter is overstruck to be bold.
  return text.replace(/.\x08/gu, "");
}

/** The text of one section. */
function section(name: string, heading: string): string {
  const [, text] = new RegExp(`^${heading}\n([^]*?)^(?=\\S)`, "m").exec(read(name)) ?? [];
  if (text === undefined) throw new Error(`${name} has no section ${heading}`);
  return text;
}

/** The same on one line. */
const flat = (text: string) => text.replace(/\s+/g, " ");

/** What --help says, as it begins on the page. */
const begun = (what: string) => flat(what.replace(/^[a-z]/, (letter) => letter.toUpperCase()).replaceAll("…", "..."));

test("npm run build has written what the sources say, and does so each time", () => {
  const folder = mkdtempSync(join(tmpdir(), "portshim-share-"));
  execFileSync(process.execPath, [join(ROOT, "docs", "manual", "lib", "main.js"), folder]);
  for (const name of ["shim", "images"]) {
    const [again, built] = [join(folder, name, "share"), join(ROOT, name, "share")];
    const files = readdirSync(again, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.ok(files.length >= 4);
    assert.equal(readdirSync(built, { recursive: true }).sort(), readdirSync(again, { recursive: true }).sort());
    for (const { parentPath, name: file } of files) {
      const path = join(parentPath, file);
      assert.is(readFileSync(path, "utf8"), readFileSync(path.replace(again, built), "utf8"), file);
    }
  }
  rmSync(folder, { recursive: true });
});

for (const name of PAGES) {
  test(`${name}(1): mandoc and groff have nothing to say`, () => {
    const lint = spawnSync("mandoc", ["-T", "lint", "-W", "warning", sourceOf(name)], { encoding: "utf8" });
    assert.equal([lint.status, lint.stdout, lint.stderr], [0, "", ""]);
    const groff = spawnSync("groff", ["-mandoc", "-ww", "-Tutf8", sourceOf(name)], { encoding: "utf8" });
    assert.equal([groff.status, groff.stderr], [0, ""]);
  });

  test(`${name}(1) fits into ${COLUMNS} columns, by mandoc and by man`, () => {
    const env = { ...process.env, MANWIDTH: `${COLUMNS}`, MANPAGER: "cat", LC_ALL: "C.UTF-8" };
    const man = spawnSync("man", [sourceOf(name)], { encoding: "utf8", env });
    assert.is(man.status, 0, man.stderr);
    for (const text of [read(name), man.stdout]) {
      assert.ok(text.length > 1000);
      assert.equal(
        text.split("\n").filter((line) => line.length > COLUMNS),
        [],
      );
    }
  });
}

for (const [name, purpose] of PURPOSES) {
  test(`${name}(1) has the options, variables and statuses of --help`, () => {
    const options = flat(section(name, "OPTIONS"));
    for (const { flag, value, help, variable } of optionsOf(purpose)) {
      const written = value === undefined ? flag : `${flag}=${value.replace("…", "...")}`;
      assert.ok(options.includes(` ${written} ${begun(help)}.`), `${written} ${help}`);
      if (variable !== undefined) assert.ok(options.includes(`Environment: ${variable}.`), variable);
    }
    const own = COMMANDS.find((command) => command.name === purpose)?.load().statuses;
    const exits = flat(section(name, "EXIT STATUS"));
    for (const [status, what] of statuses(own)) assert.ok(exits.includes(` ${status} ${begun(what)}.`), what);
  });
}

test("portshim(1) has the routes, the commands and the variables", () => {
  const routes = flat(section("portshim", "ROUTES"));
  for (const { name, what } of ROUTES) assert.ok(routes.includes(` ${name} ${begun(what)}.`), what);
  const description = flat(section("portshim", "DESCRIPTION"));
  for (const { name, what } of COMMANDS) assert.ok(description.includes(` portshim ${name} ${begun(what)}. `), what);
  const variables = section("portshim", "ENVIRONMENT");
  for (const { variable, flag } of optionsOf("start").filter((option) => option.variable !== undefined)) {
    assert.match(variables, new RegExp(`^ +${variable} +The same as ${flag}\\.$`, "m"));
  }
});

test("portshim-images(1) has the commands, options and statuses of --help", () => {
  for (const [heading, { what, options }] of Object.entries({
    ...IMAGES_COMMANDS,
    OPTIONS: { what: "", options: COMMON },
  })) {
    const place = heading === "OPTIONS" ? section(IMAGES, heading) : section(IMAGES, "DESCRIPTION");
    const text = flat(place);
    assert.ok(text.includes(begun(what)), what);
    for (const [long, option] of Object.entries<{ value?: string; what: string }>(options)) {
      const written = option.value === undefined ? `--${long}` : `--${long} ${option.value}`;
      assert.ok(text.includes(`${written} ${begun(option.what)}.`), written);
    }
  }
  const exits = flat(section(IMAGES, "EXIT STATUS"));
  for (const [status, what] of Object.entries(STATUSES)) assert.ok(exits.includes(` ${status} ${begun(what)}.`), what);
});

test("the commands in EXAMPLES can be given like this", () => {
  const lines = PURPOSES.flatMap(([name]) => [...section(name, "EXAMPLES").matchAll(/^ {11}portshim (.*)$/gm)]);
  assert.ok(lines.length > 15);
  for (const [, line = ""] of lines) {
    const [first = "", ...rest] = (line.split(" | ")[0] ?? "").split(" ");
    const command = COMMANDS.find(({ name }) => name === first);
    parse(command ? rest : [first, ...rest], {}, command?.name);
  }
});

/** The rows of a page's tables: their cells, plain. */
function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("| "));
  return lines.map((line) =>
    line
      .split("|")
      .map((cell) => cell.replaceAll("`", "").trim())
      .slice(1, -1),
  );
}

for (const [name, purpose] of PURPOSES) {
  test(`docs/${name.replace("portshim-", "")}.md has the same statuses`, () => {
    const own = COMMANDS.find((command) => command.name === purpose)?.load().statuses;
    const documented = rows(page(`${name.replace("portshim-", "")}.md`)).map((cells) => [cells[0], cells.at(-1)]);
    for (const [status, what] of statuses(own)) {
      const [, meaning = ""] = documented.find(([cell]) => cell === status) ?? [];
      assert.ok(meaning.startsWith(what), `${status} ${meaning}`);
    }
  });
}

test("docs/portshim.md has the same options and routes", () => {
  const cells = rows(page("portshim.md"));
  const flags = cells.flatMap(([cell = ""]) => cell.split(", ").filter((word) => word.startsWith("--")));
  const written = optionsOf("start").map(({ flag, value }) => (value === undefined ? flag : `${flag}=${value}`));
  assert.equal(flags, written);
  const names = cells.map(([cell = ""]) => cell).filter((cell) => ROUTES.some(({ name }) => name === cell));
  assert.equal(
    names,
    ROUTES.map(({ name }) => name),
  );
});

test.run();
