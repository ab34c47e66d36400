import { suite as uvuSuite } from "uvu";
import { NEEDS, type NeedName } from "./need.js";

/** Marks a line of a test file's output that run.ts repeats at the end. */
export const SKIPPED = "SKIPPED ";

type Suite = ReturnType<typeof uvuSuite>;

/**
 * A uvu suite that needs something of the machine. If that is missing, its tests are skipped, and run.ts says so; with
 * CI=true they fail instead. The file ends with its `.run()`, as with uvu's own.
 */
export function suite(name: string, ...needs: NeedName[]): Suite {
  const tests = uvuSuite(name);
  const lacks = needs.filter((need) => NEEDS[need].missing() !== undefined);
  if (lacks.length === 0) return outspoken(tests);
  const reasons = lacks.map((need) => `${NEEDS[need].missing()} (${NEEDS[need].remedy})`);
  if (process.env.CI === "true") {
    const failing = uvuSuite(name);
    failing(`has what it needs: ${lacks.join(", ")}`, () => {
      throw new Error(reasons.join("; "));
    });
    return inert(failing);
  }
  console.log(`${SKIPPED}${name}: ${reasons.join("; ")}`);
  return inert(uvuSuite(name));
}

/** A suite that says what its before() has thrown: uvu keeps that to itself. */
function outspoken(tests: Suite): Suite {
  const { before } = tests;
  const saying: typeof before = Object.assign((hook: Parameters<typeof before>[0]) => {
    before(async (context) => {
      try {
        await hook(context);
      } catch (error) {
        console.error(error);
        throw error;
      }
    });
  }, before);
  return Object.assign(tests, { before: saying });
}

/** A suite that ignores further tests and hooks. */
function inert(tests: Suite): Suite {
  const nothing = () => {};
  return Object.assign(nothing, {
    only: nothing,
    skip: nothing,
    before: Object.assign(nothing, { each: nothing }),
    after: Object.assign(nothing, { each: nothing }),
    run: () => tests.run(),
  }) as unknown as Suite;
}
