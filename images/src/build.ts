import { printable } from "portshim/internal";
import type { Command, Invocation } from "./command.js";
import { construct } from "./construction.js";
import { type ContextFile, packContext } from "./context.js";
import { ask, type Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import { lookUp } from "./image.js";
import type { Progress } from "./progress.js";
import { RECIPES, type Recipe } from "./recipe.js";
import { shownReference } from "./reference.js";
import type { Platform } from "./shim.js";
import { trial } from "./trial.js";

/** `portshim-images build`: builds the recipes. */
export const build = {
  takes: "[NAME…]",
  what: `build ${RECIPES.map(({ name }) => name).join(", ")} (all, or those named)`,
  options: {
    "build-arg": { type: "string", multiple: true, value: "NAME=VALUE", what: "set an ARG of the Containerfile" },
  },
  operands: [0, Number.POSITIVE_INFINITY],
  run,
} as const satisfies Command;

async function run({ engine, operands, options, progress, say }: Invocation): Promise<void> {
  const recipes = operands.length > 0 ? inOrder(operands) : RECIPES;
  const settings = Object.fromEntries((options["build-arg"] as string[] | undefined)?.map(assignment) ?? []);
  const platform = await platformOf(engine);
  const known = recipes.flatMap((recipe) => taken(recipe.files(platform)));
  const unknown = Object.keys(settings).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const rest = [...new Set(known)].join(", ") || "none";
    throw new ImagesError("bad-usage", `unknown build argument ${printable(unknown)}; known: ${rest}`);
  }
  for (const { reference, files, what, next } of recipes) {
    await buildRecipe(engine, { reference, files: files(platform) }, settings, progress);
    const shown = shownReference(reference);
    const then = next || `Try it:\n    ${trial(engine, await lookUp(engine, shown), reference)}`;
    say(`${shown}: ${what}. ${then}`);
  }
}

/** The platform that the engine builds for by default. */
function platformOf(engine: Engine): Promise<Platform> {
  return ask(engine, "tell its version", async () => {
    const { Os, Arch } = await engine.docker.version();
    return { system: Os, architecture: Arch };
  });
}

/** A recipe with its files. */
interface Ingredients extends Pick<Recipe, "reference"> {
  readonly files: readonly ContextFile[];
}

/**
 * Builds one recipe. Returns the image's id.
 *
 * Throws ImagesError.
 */
export function buildRecipe(
  engine: Engine,
  { reference, files }: Ingredients,
  settings: Readonly<Record<string, string>>,
  progress: Progress,
): Promise<string> {
  const names = taken(files);
  const ours = Object.fromEntries(Object.entries(settings).filter(([name]) => names.includes(name)));
  return construct(engine, { context: packContext(files), arguments: ours, stages: "any", reference }, progress);
}

/** The build arguments that these files declare: engines warn about others. */
function taken(files: readonly ContextFile[]): string[] {
  const text = files.find(({ path }) => path === "Containerfile")?.content.toString() ?? "";
  return [...text.matchAll(/^ARG (\w+)/gm)].map(([, name = ""]) => name);
}

/** The recipes with these names and those that they need, in the order to build them. */
function inOrder(names: readonly string[]): Recipe[] {
  const wanted = names.map((name) => {
    const recipe = RECIPES.find((candidate) => candidate.name === name);
    if (recipe) return recipe;
    const known = RECIPES.map((candidate) => candidate.name).join(", ");
    throw new ImagesError("bad-usage", `unknown recipe "${printable(name)}"; known: ${known}`);
  });
  const needed = new Set(wanted.flatMap(({ name, needs }) => [name, ...needs]));
  return RECIPES.filter(({ name }) => needed.has(name));
}

function assignment(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new ImagesError("bad-usage", `--build-arg must be NAME=VALUE, not "${printable(text)}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}
