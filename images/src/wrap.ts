import { printable } from "portshim/internal";
import type { Command, Invocation } from "./command.js";
import { value } from "./command.js";
import { construct } from "./construction.js";
import { packContext } from "./context.js";
import { isWrapped, wrapEntrypoint } from "./entrypoint.js";
import { ImagesError } from "./failure.js";
import { type Files, withFiles } from "./files.js";
import { type Image, isRoot, lookUp } from "./image.js";
import { inspect } from "./inspection.js";
import { parseReference, shownReference, wrappedReference } from "./reference.js";
import { HELPER, helperFiles, LAUNCHER, launcherFile } from "./shim.js";
import { trial } from "./trial.js";

/** `portshim-images wrap`: puts portshim before what an image starts. */
export const wrap = {
  takes: "IMAGE",
  what: "put portshim before what IMAGE starts, as a new image",
  options: {
    tag: { type: "string", short: "t", value: "NAME:TAG", what: "the new image's name (default: NAME:TAG-portshim)" },
    start: { type: "string", value: "N", what: "first port the server needs, 0-1024" },
    user: { type: "string", value: "USER[:GROUP]", what: "start as root, and become this user of the image" },
  },
  operands: [1, 1],
  run,
} as const satisfies Command;

async function run(invocation: Invocation): Promise<void> {
  const {
    engine,
    operands: [named = ""],
    progress,
    say,
  } = invocation;
  const start = port(value(invocation, "start"));
  const user = account(value(invocation, "user"));
  const tag = value(invocation, "tag");
  const wanted = tag === undefined ? undefined : parseReference(tag, engine);

  const image = await lookUp(engine, named);
  const shown = printable(image.reference);
  if (isWrapped(image)) {
    say(`${shown} starts portshim already: nothing to do.\n    ${words(image)}`);
    return;
  }
  const launcher = launcherFile(image, "portshim");
  if (image.triggers.length > 0) throw isABase(shown);
  const reference = wanted ?? wrappedReference(image, engine);

  const { entrypoint, notes, found } = await withFiles(engine, image, async (files) => {
    if (user !== undefined) await requireAccount(files, user, shown);
    const found = await inspect(engine, image, files);
    return { ...wrapEntrypoint(found, { start, user }), found };
  });
  if (user !== undefined && !isRoot(image.user)) {
    notes.push(`It starts as root now, and no longer as ${printable(image.user)}: portshim becomes ${user}.`);
  }

  const lines = instructions(image, entrypoint, user !== undefined);
  await construct(
    engine,
    {
      context: packContext([
        { path: "Containerfile", content: Buffer.from(`${lines.join("\n")}\n`), executable: false },
        launcher,
        ...helperFiles("lib"),
      ]),
      arguments: {},
      stages: "one",
      reference,
      onStep: (step, instruction) => {
        // ONBUILD instructions would run after the first; podman does not report them beforehand. The first of them can
        // be like one of ours, but together they are too many.
        if (keyword(instruction) !== keyword(lines[step - 1] ?? "")) throw isABase(shown);
      },
    },
    progress,
  );

  say(`${shownReference(reference)} starts this:\n    ${words({ entrypoint, command: image.command })}`);
  for (const note of notes) say(note);
  const first = start ?? number(image.environment.get("PORTSHIM_START")) ?? found.dropIns.declared?.value;
  say(`Try it:\n    ${trial(engine, image, reference, first)}`);
}

/** Of the Containerfile. The image's words are not trusted: as JSON they are data to the engine, whatever they contain. */
function instructions(image: Image, entrypoint: readonly string[], startsAsRoot: boolean): string[] {
  return [
    `FROM ${image.id}`,
    `COPY portshim ${LAUNCHER}`,
    `COPY lib/ ${HELPER}/`,
    ...(startsAsRoot ? ["USER 0"] : []),
    `ENTRYPOINT ${JSON.stringify(entrypoint)}`,
    // A new entrypoint resets the command.
    `CMD ${JSON.stringify(image.command)}`,
  ];
}

function keyword(instruction: string): string {
  return instruction.split(" ", 1)[0]?.toUpperCase() ?? "";
}

function words({ entrypoint, command }: Pick<Image, "entrypoint" | "command">): string {
  return printable(JSON.stringify([...entrypoint, ...command]));
}

function isABase(shown: string): ImagesError {
  return new ImagesError(
    "not-wrapped",
    `${shown} is a base image: it has ONBUILD instructions, which would run now`,
    "Build your image on it, and wrap that.",
  );
}

function port(text: string | undefined): number | undefined {
  const found = number(text);
  if (text === undefined || found !== undefined) return found;
  throw new ImagesError("bad-usage", `--start must be an integer from 0 to 1024, not "${printable(text)}"`);
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^(0|[1-9]\d{0,3})$/.test(text) && Number(text) <= 1024 ? Number(text) : undefined;
}

function account(text: string | undefined): string | undefined {
  if (text === undefined || /^[\w][\w.-]*\$?(:[\w][\w.-]*)?$/.test(text)) return text;
  throw new ImagesError("bad-usage", `--user must be USER or USER:GROUP, names or numbers, not "${printable(text)}"`);
}

async function requireAccount(files: Files, user: string, shown: string): Promise<void> {
  const [name = ""] = user.split(":");
  if (/^\d+$/.test(name)) return;
  const accounts = (await files.read("/etc/passwd"))?.toString("utf8") ?? "";
  if (accounts.split("\n").some((line) => line.startsWith(`${name}:`))) return;
  throw new ImagesError("not-wrapped", `${shown} has no user ${name}`, "Give one of its own, or a number.");
}
