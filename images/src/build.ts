import { printable } from "portshim/lib/text.js";
import type { Call, Command } from "./command.js";
import { construct } from "./construction.js";
import { packContext } from "./context.js";
import type { Engine } from "./engine.js";
import { ImagesError } from "./failure.js";
import { lookUp } from "./image.js";
import type { Progress } from "./progress.js";
import { RECIPES, type Recipe } from "./recipe.js";
import { shownReference } from "./reference.js";
import { trial } from "./trial.js";

/** `portshim-images build`: builds the recipes. */
export const build: Command = {
  usage: "[NAME…] [--build-arg NAME=VALUE]…",
  what: `build ${RECIPES.map(({ name }) => name).join(", ")} (all, or those named)`,
  options: { "build-arg": { type: "string", multiple: true } },
  operands: [0, Number.POSITIVE_INFINITY],
  run,
};

async function run({ engine, operands, options, progress, say }: Call): Promise<void> {
  const recipes = operands.length > 0 ? inOrder(operands) : RECIPES;
  const settings = Object.fromEntries((options["build-arg"] as string[] | undefined)?.map(assignment) ?? []);
  const known = recipes.flatMap((recipe) => takes(recipe));
  const unknown = Object.keys(settings).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const rest = known.length > 0 ? `only ${[...new Set(known)].join(", ")}` : "none";
    throw new ImagesError("bad-usage", `no build argument ${printable(unknown)} is taken here, ${rest}`);
  }
  for (const recipe of recipes) {
    await buildRecipe(engine, recipe, settings, progress);
    const shown = shownReference(recipe.reference);
    const next = recipe.next || `Try it:\n    ${trial(engine, await lookUp(engine, shown), recipe.reference)}`;
    say(`${shown}: ${recipe.what}. ${next}`);
  }
}

/**
 * Builds one recipe. Returns the image's id.
 *
 * Throws ImagesError.
 */
export function buildRecipe(
  engine: Engine,
  recipe: Pick<Recipe, "reference" | "files">,
  settings: Readonly<Record<string, string>>,
  progress: Progress,
): Promise<string> {
  const { reference } = recipe;
  const context = packContext(recipe.files());
  const taken = Object.fromEntries(Object.entries(settings).filter(([name]) => takes(recipe).includes(name)));
  return construct(engine, { context, arguments: taken, stages: "any", reference }, progress);
}

/** The build arguments of a recipe: engines warn of others. */
function takes(recipe: Pick<Recipe, "files">): string[] {
  const text =
    recipe
      .files()
      .find(({ path }) => path === "Containerfile")
      ?.content.toString() ?? "";
  return [...text.matchAll(/^ARG (\w+)/gm)].map(([, name]) => name as string);
}

/** The recipes with these names, after those that they need. */
function inOrder(names: readonly string[]): Recipe[] {
  const wanted = names.map((name) => {
    const recipe = RECIPES.find((candidate) => candidate.name === name);
    if (recipe) return recipe;
    const known = RECIPES.map((candidate) => candidate.name).join(", ");
    throw new ImagesError("bad-usage", `there is no recipe "${printable(name)}": there are ${known}`);
  });
  const needed = new Set(wanted.flatMap(({ name, needs }) => [name, ...needs]));
  return RECIPES.filter(({ name }) => needed.has(name));
}

function assignment(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new ImagesError("bad-usage", `--build-arg must be NAME=VALUE, not "${printable(text)}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}
