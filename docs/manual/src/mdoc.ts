import { readFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../../../shim/lib/cli/version.js";
import type { Option } from "./program.js";

// mdoc(7), the language of manual pages. `mdoc` below marks text in it.

/** A manual page in section 1. */
export interface Page {
  readonly name: string;
  readonly text: string;
}

/** Text in mdoc(7), in which a backslash is one. */
export const mdoc = String.raw;

/** When the pages were last revised: their date until the version is released. */
const REVISED = "2026-11-25";

/** The date of the version's release, which CHANGELOG.md has after its number. */
function date(): string {
  const changelog = readFileSync(join(__dirname, "..", "..", "..", "CHANGELOG.md"), "utf8");
  const heading = changelog.split("\n").find((line) => line.startsWith(`## ${VERSION} `)) ?? "";
  const [day = REVISED] = /\d{4}-\d\d-\d\d/.exec(heading) ?? [];
  return new Date(day).toLocaleDateString("en-US", { dateStyle: "long", timeZone: "UTC" });
}

/** A page: its name, the line that apropos(1) shows, and what follows. */
export function page(name: string, what: string, body: string): Page {
  const text = mdoc`.\" Written by the build of portshim, from its folder manual: change it there.
.Dd ${date()}
.Dt ${name.toUpperCase()} 1
.Os portshim ${VERSION}
.Sh NAME
.Nm ${plain(name)}
.Nd ${plain(what)}
${body}`;
  // A blank line is an error in mdoc, and only makes its source easier to read here.
  return { name, text: `${text.trim().replace(/\n\n+/g, "\n")}\n` };
}

/** Words as they are: nothing in them is a request, an escape, or a hyphen that cannot be copied as one. */
export function plain(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("…", "...")
    .replace(/[^\n -~]/gu, (character) => `\\[u${character.codePointAt(0)?.toString(16).toUpperCase()}]`)
    .replace(/^(?=[.'])/gm, "\\&");
}

/** Words of --help as sentences, each on a line of its own. */
export function sentences(text: string): string {
  const whole = text.replace(/\s+/g, " ").replace(/^[a-z]/, (letter) => letter.toUpperCase());
  return plain(/[.!?]$/.test(whole) ? whole : `${whole}.`).replace(/(?<=[.!?]) (?=[A-Z\\])/g, "\n");
}

/** Lines to copy, or what a program printed. */
export function example(text: string): string {
  return `.Bd -literal -offset indent\n${literal(text)}\n.Ed`;
}

/** The same for lines that need the whole width of 80 columns. */
export function wideExample(text: string): string {
  return `.Bd -literal\n${literal(text)}\n.Ed`;
}

function literal(text: string): string {
  return plain(text.trim()).replace(/^$/gm, "\\&");
}

/** A list of terms, each in mdoc without the macro that begins it. */
export function list(entries: readonly (readonly [term: string, text: string])[], width = "Ds", layout = ""): string {
  const items = entries.map(([term, text]) => `.It ${term}\n${text.trim()}`);
  return [`.Bl -tag -width ${width}${layout}`, ...items, ".El"].join("\n");
}

/** The list of a program's exit statuses. */
export function statusList(statuses: readonly (readonly [status: string, what: string])[]): string {
  const entries = statuses.map(([status, what]) => [plain(status), sentences(what)] as const);
  return list(entries, "128+N", " -compact");
}

/** The list of options: what --help says of each, then what there is to add, by its flag. */
export function optionList(options: readonly Option[], more: Readonly<Record<string, string>>): string {
  return list(
    options.map((option) => {
      const { flag, help, variable } = option;
      const text = [sentences(help), more[flag], variable && `Environment:\n.Ev ${variable} .`];
      return [written(option), text.filter(Boolean).join("\n")];
    }),
  );
}

/** An option with its value, in mdoc; with `forms`, all forms of it. */
export function written({ flag, short, value, isApart }: Option, forms: "all" | "shortest" = "all"): string {
  const letter = short && `Fl ${short.slice(1)}`;
  const long = `Fl Fl ${plain(flag.slice(2))}`;
  const name = forms === "all" && letter ? `${letter} , ${long}` : (letter ?? long);
  if (value === undefined) return name;
  return `${name}${isApart ? "" : " Ns = Ns"} Ar ${plain(value)}`;
}

/** The synopsis of a command that takes these options. */
export function synopsis(options: readonly Option[]): string {
  return options.map((option) => `.Op ${written(option, "shortest")}${option.isRepeatable ? " ..." : ""}`).join("\n");
}

/** Other pages: those of section 1 by their names, then others with their section. */
export function seeAlso(commands: readonly string[], ...others: string[]): string {
  const pages = [...[...commands].sort().map((name) => `${name} 1`), ...others];
  return pages.map((name) => `.Xr ${plain(name)}`).join(" ,\n");
}
