import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { CONTAINERS_PORTSHIM, hostNetwork, withPortshim } from "./container.js";
import { type Lab, type Result, startLab } from "./lab.js";
import { BASE, BY_HAND, NAME, STARTED } from "./start.js";

const test = suite("what can go wrong on the way", "lab", "nodes");

const WITHOUT_NODE = { PATH: "/usr/bin:/bin" };

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
  await lab.polkit("YES");
});

/** Runs a command while a program on the host is replaced, or removed if `script` is undefined. */
async function without<T>(program: string, script: string | undefined, run: () => Promise<T>): Promise<T> {
  await lab.asHost(["mv", program, `${program}.away`]);
  try {
    if (script !== undefined) await lab.writeFile("host", program, script, 0o755);
    return await run();
  } finally {
    await lab.asHost(["mv", `${program}.away`, program]);
  }
}

/** It failed, with this status, changed nothing, and started nothing. */
async function failed({ status, stdout }: Result, expected: number): Promise<void> {
  assert.equal([status, stdout, await lab.threshold()], [expected, "", 1024]);
}

const podman = (options: string[], argv: string[]): Promise<Result> =>
  lab.asUser(["podman", "run", "--rm", ...options, BASE, ...argv], { timeout: 60_000 });
const inPodman = (options: string[], argv: string[]) => podman([...hostNetwork(lab), ...options], argv);

test("a host without sysctl", async () => {
  const run = await without("/usr/sbin/sysctl", undefined, () => lab.inToolbox(["portshim", ...STARTED]));
  await failed(run, 69);
  assert.match(run.stderr, `portshim: cannot lower ${NAME} from here: the host has no sysctl\n`);
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("the host's sysctl fails, with its own words", async () => {
  // Marked fake: a sysctl that a kernel lockdown or a security module stops, which this kernel does not have.
  const fake = "#!/bin/sh\necho 'sysctl: permission denied on key' >&2\nexit 255\n";
  const run = await without("/usr/sbin/sysctl", fake, () => lab.inToolbox(["portshim", ...STARTED]));
  await failed(run, 69);
  assert.match(run.stderr, "portshim: sysctl failed on the host: sysctl: permission denied on key\n");
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("a read-only file system", async () => {
  const readOnly = ["--read-only", "--read-only-tmpfs=false"];
  const run = await inPodman(readOnly, [CONTAINERS_PORTSHIM, ...STARTED]);
  assert.equal([run.status, run.stdout, await lab.threshold()], [0, "started\n", 80], run.stderr);
  await lab.setThreshold(1024);
  await lab.polkit("NO");
  const refused = await inPodman(readOnly, [CONTAINERS_PORTSHIM, ...STARTED]);
  await failed(refused, 77);
  assert.match(refused.stderr, `portshim: permission denied by the host: wrong password, or polkit`);
});

test("no /etc/passwd", async () => {
  const start = (...options: string[]) => {
    const remove = ["sh", "-c", 'rm /etc/passwd /etc/group && exec "$@"', "sh"];
    return inPodman(
      [],
      [...remove, CONTAINERS_PORTSHIM, ...options, "--", "/bin/sh", "-c", "echo started as $(id -u)"],
    );
  };
  const byName = await start("--user=www-data");
  await failed(byName, 64);
  assert.is(byName.stderr, 'portshim: cannot switch to user "www-data": there is no such user in /etc/passwd\n');
  const byNumber = await start("--user=1000:1000");
  assert.equal(
    [byNumber.status, byNumber.stdout, await lab.threshold()],
    [0, "started as 1000\n", 80],
    byNumber.stderr,
  );

  await lab.setThreshold(1024);
  await lab.polkit("NO");
  const refused = await start();
  await failed(refused, 77);
  assert.match(refused.stderr, `portshim: permission denied by the host: wrong password, or polkit`);
});

for (const [name, start] of [
  ["in a toolbox", () => lab.inToolbox(["/usr/local/bin/portshim", ...STARTED], { env: WITHOUT_NODE })],
  [
    "in a container with its own network",
    () =>
      podman(
        [...withPortshim(lab), "--user=1000", "--env", `PATH=${WITHOUT_NODE.PATH}`],
        [CONTAINERS_PORTSHIM, ...STARTED],
      ),
  ],
] as const) {
  test(`no Node ${name}: the sentence is right in both`, async () => {
    const run = await start();
    await failed(run, 69);
    assert.match(
      run.stderr,
      /^portshim: cannot run Node\.js 20 or later, which is needed here: No such file or directory\n/,
    );
    assert.match(run.stderr, `\n    sudo sysctl -w ${NAME}=80    (on the host, if `);
    assert.match(run.stderr, `\n    podman run --sysctl ${NAME}=80 …    (`);
  });
}

// The last one: polkit does not come back.
test("a host whose polkit does not run", async () => {
  await lab.asHost(["sh", "-c", "mv /usr/lib/polkit-1/polkitd /usr/lib/polkit-1/polkitd.away && pkill -x polkitd"]);
  const run = await lab.inToolbox(["portshim", ...STARTED]);
  await failed(run, 77);
  assert.match(run.stderr, `portshim: permission denied by the host: polkit is not running (Error getting`);
  assert.ok(run.stderr.includes(BY_HAND));
});

test.run();
