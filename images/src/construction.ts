import type Docker from "dockerode";
import { printable } from "portshim/internal";
import type { Pack } from "tar-stream";
import { answered, ask, type Engine, gone, reason, throwIfInterrupted } from "./engine.js";
import { ImagesError } from "./failure.js";
import type { Progress } from "./progress.js";
import { type Reference, shownReference } from "./reference.js";

/** What is to be built. */
interface Construction {
  /** A tar archive with a Containerfile at its top. */
  readonly context: Pack;
  readonly arguments: Readonly<Record<string, string>>;
  /** How many stages the Containerfile has. */
  readonly stages: "one" | "any";
  /** The name of the result. */
  readonly reference: Reference;
  /** Called before each step, counted from 1; if it throws, the build fails with that. */
  readonly onStep?: (step: number, text: string) => void;
}

const NO_IMAGE = "No image was made.";

interface Message {
  readonly stream?: string;
  readonly error?: string;
  readonly aux?: { readonly ID?: string };
}

/**
 * Builds an image, and names it once it is complete. Returns its id.
 *
 * Throws ImagesError.
 */
export async function construct(engine: Engine, what: Construction, progress: Progress): Promise<string> {
  const name = shownReference(what.reference);
  const id = await run(engine, what, progress, `build ${name}`);
  // Not by the build itself: one that ended early must not leave half an image under that name.
  await ask(engine, `name the new image ${name}`, () =>
    engine.docker.getImage(id).tag({ repo: what.reference.name, tag: what.reference.tag }),
  );
  return id;
}

/** `goal` completes "the engine was to …". */
async function run(engine: Engine, what: Construction, progress: Progress, goal: string): Promise<string> {
  // Aborted if we leave early as well: the engine stops the build when its client disconnects.
  const leaving = new AbortController();
  let step = "the start";
  let id: string | undefined;
  try {
    const request = engine.docker.buildImage(
      what.context as unknown as NodeJS.ReadableStream,
      {
        dockerfile: "Containerfile",
        buildargs: what.arguments,
        rm: true,
        forcerm: true,
        // One layer for all steps, and no image for each. Not for several stages: if one has no step of its own, podman
        // 4 then removes the image that it is from, which is the user's.
        ...(what.stages === "one" ? { layers: false } : {}),
        abortSignal: AbortSignal.any([engine.signal, leaving.signal]),
      } as Docker.ImageBuildOptions,
    );
    for await (const line of lines(await request)) {
      const message = parse(line);
      if (message.error !== undefined) {
        throw new ImagesError("build-failed", `${step}: ${reason({ message: message.error.trim() })}`, NO_IMAGE);
      }
      if (message.aux?.ID !== undefined) id = message.aux.ID;
      for (const text of (message.stream ?? "").split("\n").map(printable).filter(Boolean)) {
        const [, number, instruction] = text.match(/^(?:\[\d+\/\d+\] )?step (\d+)\/\d+ ?: (.*)$/i) ?? [];
        if (instruction === undefined) progress.line(text);
        else {
          step = instruction;
          progress.step(text);
          what.onStep?.(Number(number), instruction);
        }
      }
    }
  } catch (error) {
    throwIfInterrupted(engine.signal);
    if (error instanceof ImagesError) throw error;
    if (answered(error)) throw new ImagesError("build-failed", `${step}: ${reason(error)}`, NO_IMAGE);
    throw gone(engine, goal, error);
  } finally {
    progress.end();
    leaving.abort();
  }
  if (id === undefined) throw gone(engine, goal);
  return id;
}

async function* lines(stream: NodeJS.ReadableStream): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.setEncoding("utf8")) {
    const parts = `${rest}${text}`.split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  yield rest;
}

function parse(line: string): Message {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return {};
  }
}
