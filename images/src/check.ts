import { json, printable } from "portshim/internal";
import type { Command, Invocation } from "./command.js";
import type { DropIn } from "./dropins.js";
import { isWrapped, optionsIn, wrapEntrypoint } from "./entrypoint.js";
import { ImagesError } from "./failure.js";
import { withFiles } from "./files.js";
import { type Image, lookUp } from "./image.js";
import { type Inspection, inspect } from "./inspection.js";
import { type ImageNode, isUsable, lackOf } from "./node.js";
import { launcherFile } from "./shim.js";

/** `portshim-images check`: shows what happens when an image runs. */
export const check = {
  takes: "IMAGE",
  what: "show what IMAGE starts, as whom, and what its files ask for",
  options: { json: { type: "boolean", what: "print JSON" } },
  operands: [1, 1],
  run,
} as const satisfies Command;

/** The label of toolbox images. */
const TOOLBOX_LABEL = "com.github.containers.toolbox";

async function run({ engine, operands: [reference = ""], options, say }: Invocation): Promise<void> {
  const image = await lookUp(engine, reference);
  const found = await withFiles(engine, image, (files) => inspect(engine, image, files));
  say(options.json ? json(asJson(found)) : asText(found));
}

/** The names are stable across releases. */
function asJson(found: Inspection): object {
  const { image, node, dropIns } = found;
  return {
    image: image.reference,
    id: image.id,
    entrypoint: image.entrypoint,
    command: image.command,
    user: image.user || "root",
    ports: image.ports,
    wrapped: isWrapped(image),
    toolbox: image.labels[TOOLBOX_LABEL] === "true",
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
  const { image, node, dropIns } = found;
  const rows = [
    ["entrypoint", shown(image.entrypoint)],
    ["command", shown(image.command)],
    ["user", printable(image.user) || "root"],
    ["ports", printable(image.ports.join(", ")) || "none named"],
    ["Node.js", node ? `${node.version ?? "does not start"} (${printable(node.path)})` : "none"],
    ["sysctl.d", dropIns.files.map(dropIn).join("\n") || "no files"],
  ];
  const lines = rows.map(
    ([name = "", text = ""]) => `  ${name.padEnd(12)}${text.replaceAll("\n", `\n${" ".repeat(14)}`)}`,
  );
  return [`${printable(image.reference)} (${image.id.slice(0, 12)})`, ...lines, verdict(found)].join("\n");
}

function shown(words: readonly string[]): string {
  return words.length > 0 ? printable(JSON.stringify(words)) : "none";
}

function dropIn({ file, maskedBy, asks }: DropIn): string {
  if (maskedBy !== undefined) return `${printable(file)}: masked by ${printable(maskedBy)}`;
  if (asks === undefined) return `${printable(file)}: nothing about ports`;
  const value = asks.value ?? `"${printable(asks.text)}", which is invalid`;
  return `${printable(file)}:${asks.line} sets ${value}`;
}

function verdict(found: Inspection): string {
  const { image, node, dropIns } = found;
  const options = optionsIn(image);
  if (options === undefined) return `It starts without portshim. ${prospect(found)}`;
  if (image.labels[TOOLBOX_LABEL] === "true")
    return "toolbox starts it in its own way; in it, run portshim -- COMMAND.";
  const start = given("start", options, image) || dropIns.declared?.value;
  const ports =
    start === undefined
      ? "80 and up (or from the port that the host's files set)"
      : `${printable(String(start))} and up`;
  const as = printable(image.user) || "root";
  const sees = `portshim, as ${as}, makes sure that ports ${ports} can be bound, then becomes what the image starts.`;
  return isUsable(node) ? sees : `${sees} ${without(node, options, image)}`;
}

/** What portshim does without a usable Node.js. */
function without(node: ImageNode | undefined, options: readonly string[], image: Image): string {
  const { lack } = lackOf(node);
  if (given("user", options, image)) return `But it has ${lack}, which --user needs: it exits with status 69.`;
  const isOptional = options.includes("--optional") || image.environment.get("PORTSHIM_OPTIONAL") === "1";
  const then = isOptional ? "says so and starts it anyway (--optional)" : "exits with status 69";
  return `But it has ${lack}: if these ports need privileges when it starts, it cannot ask the host, and ${then}.`;
}

/** The value of one of portshim's options: of the flag, else of the variable. */
function given(name: "start" | "user", options: readonly string[], image: Image): string | undefined {
  const flag = `--${name}`;
  const at = options.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at < 0) return image.environment.get(`PORTSHIM_${name.toUpperCase()}`);
  return options[at] === flag ? options[at + 1] : options[at]?.slice(flag.length + 1);
}

/** Whether the image can be wrapped, and what to know about it. */
function prospect(found: Inspection): string {
  const { image } = found;
  if (image.labels[TOOLBOX_LABEL] === "true") {
    return "This is a toolbox image, which toolbox starts in its own way; in it, run portshim -- COMMAND.";
  }
  try {
    launcherFile(image, "portshim");
    const { notes } = wrapEntrypoint(found, { start: undefined, user: undefined });
    return [`To have portshim in it: portshim-images wrap ${printable(image.reference)}`, ...notes].join("\n");
  } catch (error) {
    if (!(error instanceof ImagesError)) throw error;
    return `It cannot be wrapped: ${error.message}.`;
  }
}
