import { printable } from "portshim/lib/text.js";
import type { Call, Command } from "./command.js";
import type { DropIn } from "./dropins.js";
import { isWrapped, wrapEntrypoint } from "./entrypoint.js";
import { ImagesError } from "./failure.js";
import { withFiles } from "./files.js";
import { lookUp } from "./image.js";
import { type Inspection, inspect } from "./inspection.js";
import { isAtLeast } from "./node.js";

/** `portshim-images check`: what happens when an image runs. */
export const check: Command = {
  usage: "IMAGE [--json]",
  what: "say what happens when IMAGE runs: what it starts, as whom, and what it asks for",
  options: { json: { type: "boolean" } },
  operands: [1, 1],
  run,
};

/** The label by which toolbox knows its images. */
const TOOLBOX_LABEL = "com.github.containers.toolbox";

async function run({ engine, operands, options, say }: Call): Promise<void> {
  const image = await lookUp(engine, operands[0] as string);
  const found = await withFiles(engine, image, (files) => inspect(engine, image, files));
  say(options.json ? JSON.stringify(asJson(found), undefined, 2) : asText(found));
}

/** For programs: the names are stable across releases. */
function asJson(found: Inspection): object {
  const { image, hasShell, node, dropIns } = found;
  return {
    image: image.reference,
    id: image.id,
    entrypoint: image.entrypoint,
    command: image.command,
    user: image.user || "root",
    ports: image.ports,
    wrapped: isWrapped(image),
    toolbox: image.labels[TOOLBOX_LABEL] === "true",
    shell: hasShell ? "/bin/sh" : null,
    node: node ? { path: node.path, version: node.version ?? null, onPath: node.isOnPath } : null,
    sysctl: dropIns.files.map(({ file, maskedBy, asks }) => ({
      file,
      maskedBy: maskedBy ?? null,
      line: asks?.line ?? null,
      value: asks?.value ?? null,
    })),
    start: dropIns.declared?.value ?? null,
    verdict: verdict(found),
  };
}

function asText(found: Inspection): string {
  const { image, hasShell, node, dropIns } = found;
  const rows = [
    ["entrypoint", json(image.entrypoint)],
    ["command", json(image.command)],
    ["user", printable(image.user) || "root"],
    ["ports", image.ports.map(printable).join(", ") || "none named"],
    ["Node.js", node ? `${node.version ?? "does not start"} (${printable(node.path)})` : "none"],
    ["shell", hasShell ? "/bin/sh" : "none"],
    ["sysctl.d", dropIns.files.map(dropIn).join("\n") || "no files"],
  ];
  const lines = rows.map(
    ([name = "", text = ""]) => `  ${name.padEnd(12)}${text.replaceAll("\n", `\n${" ".repeat(14)}`)}`,
  );
  return [`${printable(image.reference)} (${image.id.slice(0, 12)})`, ...lines, verdict(found)].join("\n");
}

function json(words: readonly string[]): string {
  return words.length > 0 ? printable(JSON.stringify(words)) : "none";
}

function dropIn({ file, maskedBy, asks }: DropIn): string {
  if (maskedBy !== undefined) return `${printable(file)}: does not count, because of ${printable(maskedBy)}`;
  if (asks === undefined) return `${printable(file)}: nothing about ports`;
  const value = asks.value ?? `"${printable(asks.text)}", which the kernel would refuse`;
  return `${printable(file)}:${asks.line} asks for ports from ${value}`;
}

function verdict(found: Inspection): string {
  const { image, node, dropIns } = found;
  const shown = printable(image.reference);
  const user = printable(image.user) || "root";
  if (!isWrapped(image)) return `It starts without portshim. ${prospect(found, shown)}`;
  if (image.labels[TOOLBOX_LABEL] === "true") return "toolbox starts it its own way: in it, portshim -- COMMAND.";
  const start = image.environment.get("PORTSHIM_START") || dropIns.declared?.value;
  const ports = start === undefined ? "80 up (or from where the host's files say)" : `${printable(String(start))} up`;
  const sees = `portshim, as ${user}, makes sure that ports from ${ports} may be bound, and becomes the rest.`;
  if (node !== undefined && isAtLeast(node.version, 20)) return sees;
  return `${sees} It has no Node.js 20 or later, so where they may not be bound yet it cannot ask the host.`;
}

/** What wrapping it would give. */
function prospect(found: Inspection, shown: string): string {
  if (found.image.labels[TOOLBOX_LABEL] === "true") {
    return "It is a toolbox image, which toolbox starts its own way: in it, portshim -- COMMAND is the way.";
  }
  try {
    const { notes } = wrapEntrypoint(found, { start: undefined, user: undefined });
    return [`To have portshim in it: portshim-images wrap ${shown}`, ...notes].join("\n");
  } catch (error) {
    if (!(error instanceof ImagesError)) throw error;
    return `It cannot be wrapped: ${error.message}.`;
  }
}
