import type { Facts } from "../facts/facts.js";
import { isSatisfied } from "../here/threshold.js";
import { REASON } from "../report/reason.js";
import { no, type Verdict } from "./reach.js";
import { ROUTES, type Route } from "./route.js";

/** A route, and whether it can be taken. */
export interface Step extends Verdict {
  readonly route: Route;
}

/** What would be done, in order. */
export interface Plan {
  /** The threshold is low enough already, or there is none and the port can be bound. */
  readonly satisfied: boolean;
  /** The routes that are considered, usable or not, in the order in which they are tried. */
  readonly steps: readonly Step[];
  /** The routes that are left out, and why. */
  readonly others: readonly Step[];
}

/** Those of `all` that `via` names, each once, in that order; default: all but those that must be named. */
export function named<T extends Pick<Route, "name" | "onlyNamed">>(all: readonly T[], via?: readonly string[]): T[] {
  const names = new Set(via ?? all.filter(({ onlyNamed }) => !onlyNamed).map(({ name }) => name));
  return [...names].flatMap((name) => all.filter((one) => one.name === name));
}

/** Makes the plan from the facts alone; `via` limits and orders the routes (default: all, least intrusive first). */
export function planFor(facts: Facts, via?: readonly string[]): Plan {
  const routes = named(ROUTES, via);
  return {
    satisfied:
      isSatisfied(facts.threshold, facts.wanted.value) || (facts.threshold === undefined && facts.mayBind === true),
    steps: routes.map((route) => ({ route, ...route.verdict(facts, via !== undefined) })),
    others: ROUTES.filter((route) => !routes.includes(route)).map((route) => ({
      route,
      ...no(via ? REASON.notNamed : REASON.onlyNamed(route.name)),
    })),
  };
}
