import * as assert from "uvu/assert";
import { KERNEL_DEFAULT } from "../../shim/lib/here/threshold.js";
import { resolve } from "../../shim/lib/sysctl/resolve.js";
import { suite } from "../suite.js";
import { Namespace } from "./namespace.js";
import { CASES } from "./resolve.cases.js";
import { grow, plant, Random, seed, show, shrink, type Tree, treeCount } from "./tree.js";

const test = suite("sysctl.d as the real systemd-sysctl applies it", "root", "tools", "systemd-sysctl");

/** Most differences to show. */
const ENOUGH = 5;

async function both(namespace: Namespace, tree: Tree): Promise<{ ours: number; theirs: number }> {
  const uproot = plant(tree, namespace.root);
  try {
    const ours = resolve(namespace.root).declared?.value ?? KERNEL_DEFAULT;
    return { ours, theirs: await namespace.applied() };
  } finally {
    uproot();
  }
}

test("systemd-sysctl agrees with the cases of our own tests", async () => {
  const namespace = await Namespace.open();
  try {
    for (const [about, cases] of Object.entries(CASES)) {
      for (const { name, tree, declared } of cases.filter(({ oursAlone }) => !oursAlone)) {
        const { theirs } = await both(namespace, tree);
        assert.is(theirs, declared?.[0] ?? KERNEL_DEFAULT, `${about}: ${name}`);
      }
    }
  } finally {
    await namespace.close();
  }
});

test("random trees set the same threshold (TREES=50000 for more, SEED=… for the same again)", async () => {
  const first = seed();
  const trees = treeCount(1000);
  const differences: string[] = [];
  const set = { trees: 0, changed: 0 };
  let next = 0;

  const work = async () => {
    const namespace = await Namespace.open();
    try {
      while (next < trees && differences.length < ENOUGH) {
        const index = next++;
        const tree = grow(new Random(first, index));
        const { ours, theirs } = await both(namespace, tree);
        set.trees++;
        if (theirs !== KERNEL_DEFAULT) set.changed++;
        if (ours === theirs) continue;
        const small = await shrink(tree, async (smaller) => {
          const values = await both(namespace, smaller);
          return values.ours !== values.theirs;
        });
        const values = await both(namespace, small);
        differences.push(`tree ${index}: ours ${values.ours}, systemd-sysctl's ${values.theirs}\n${show(small)}`);
      }
    } finally {
      await namespace.close();
    }
  };
  await Promise.all([work(), work()]);

  console.log(`${set.trees} trees, ${set.changed} of them set a threshold`);
  assert.is(differences.length, 0, `SEED=${first}\n${differences.join("\n")}`);
  assert.ok(set.changed > trees / 3, "the trees hardly ever set a threshold");
});

test.run();
