import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ROOT } from "../need.js";
import { suite } from "../suite.js";
import { type Lab, type RunOptions, startLab } from "./lab.js";
import { RUN0_ASKS, withoutPkexec } from "./pkexec.js";
import { BY_HAND, NAME, STARTED } from "./start.js";

const test = suite("the main job, in a toolbox", "lab", "nodes");

const ROOT_COMMAND = `/usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80`;
const PORTSHIM = "/usr/local/bin/portshim";

let lab: Lab;
let server: string;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `# the web server's\n${NAME}=80\n`);
  server = `/run/host${lab.repository}/test/fixture/server.js`;
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
  await lab.polkit("YES");
});

const portshim = (argv: readonly string[], options?: RunOptions) => lab.inToolbox([PORTSHIM, ...argv], options);

test("at 1024 the plain user's server is refused port 80", async () => {
  const run = await lab.inToolbox(["node", server]);
  assert.equal([run.status, run.stderr], [1, "bind() to 0.0.0.0:80 failed (13: Permission denied)\n"]);
});

test("portshim -- node server.js serves on port 80, after one prompt, with portshim's pid", async () => {
  const prompts = (await lab.prompts()).length;
  const running = await lab.spawn("toolbox", ["portshim", "--", "node", server]);
  await running.waitFor(/serving on 80/);
  assert.equal(await lab.fetch(80, "/hello"), { status: 200, body: `${running.pid} /hello\n` });
  assert.is(await lab.threshold(), 80);
  assert.equal((await lab.prompts()).slice(prompts), [`/usr/sbin/sysctl -w ${NAME}=80`]);
  assert.is(
    running.stderr,
    `portshim: /etc/sysctl.d/80-web.conf:2 sets ${NAME}=80, but it was never applied: the value is 1024
portshim: Running as root on the host (you may be asked for your password):
    ${ROOT_COMMAND}
portshim: Done. Any user can now bind ports 80 and up, until the host reboots. To make it permanent:
    portshim persist
`,
  );
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  assert.match(readme, `\n${running.stderr.replace(/^(?=.)/gm, "    ")}    serving on 80, pid `);
  await running.kill("SIGTERM");
  assert.is((await running.exited).signal, "SIGTERM");
});

test("started a second time: the host is not asked, no Node runs, not a byte is printed", async () => {
  await lab.setThreshold(80);
  const calls = await lab.hostCalls();
  // Without a Node on its PATH portshim could not take the slow path.
  const run = await portshim(STARTED, { env: { PATH: "/usr/bin:/bin" } });
  assert.equal([run.status, run.stdout, run.stderr], [0, "started\n", ""]);
  assert.is(await lab.hostCalls(), calls);
});

test("the host is called once: the shell that says what it has becomes what sets the value", async () => {
  const calls = await lab.hostCalls();
  assert.is((await portshim(STARTED)).status, 0);
  assert.is((await lab.hostCalls()) - calls, 1);
});

test("polkit answers NO: 77, a message, nothing changed; with --optional the command starts", async () => {
  await lab.polkit("NO");
  const refused = await portshim(STARTED);
  assert.equal([refused.status, refused.stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(refused.stderr, `portshim: permission denied by the host: wrong password, or polkit does not allow it`);
  assert.match(refused.stderr, /\(Error executing command as another user: Not authorized.*\)\n/);
  const tried = `Tried through ${await spawnPath()}:\n    ${ROOT_COMMAND}\n${BY_HAND}`;
  assert.ok(refused.stderr.includes(tried));
  assert.ok(refused.stderr.endsWith("RestartPreventExitStatus=NOPERM keeps a restart from asking again.\n"));

  const optional = await portshim(["--optional", ...STARTED]);
  assert.equal([optional.status, optional.stdout, await lab.threshold()], [0, "started\n", 1024]);
  assert.ok(optional.stderr.endsWith("portshim: starting the command anyway (--optional)\n"));
});

test("with --quiet what runs as root is still said, and nothing else", async () => {
  const run = await portshim(["--quiet", ...STARTED]);
  assert.equal([run.status, run.stdout], [0, "started\n"]);
  assert.is(
    run.stderr,
    `portshim: Running as root on the host (you may be asked for your password):\n    ${ROOT_COMMAND}\n`,
  );
});

test("--dry-run tells the plan and asks nobody for a password", async () => {
  const prompts = (await lab.prompts()).length;
  const run = await portshim(["--dry-run", ...STARTED]);
  assert.equal([run.status, run.stderr, await lab.threshold()], [0, "", 1024]);
  assert.match(run.stdout, /place: a toolbox \(\/run\/\.toolboxenv\)\n/);
  assert.match(
    run.stdout,
    /yes {2}pkexec: the host can be asked through flatpak-spawn\nno {3}run0: .*\nno {3}sudo: only with .*\nWould run as root:\n/,
  );
  assert.is((await lab.prompts()).length, prompts);
});

test("in a directory that only the container has, with an odd SHELL, TERM and NODE_OPTIONS", async () => {
  await lab.inToolbox(["mkdir", "-p", "/srv/app"], { root: true });
  const env = { SHELL: "/opt/fish", TERM: "odd-term\n", NODE_OPTIONS: "--require=/nonexistent.js" };
  const run = await portshim(["--", "/bin/sh", "-c", 'pwd; echo "$SHELL $NODE_OPTIONS"'], { cwd: "/srv/app", env });
  assert.equal([run.status, run.stdout], [0, "/srv/app\n/opt/fish --require=/nonexistent.js\n"]);
  assert.is(await lab.threshold(), 80);
});

test("no session bus", async () => {
  const env = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent/bus" };
  const run = await portshim(STARTED, { env });
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(run.stderr, "from here: there is no session bus here; ");
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("a host without flatpak", async () => {
  // A session bus of its own, without flatpak's service.
  const socket = `/run/user/${lab.uid}/bare`;
  const allow = '<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>';
  const config = `<busconfig><listen>unix:path=${socket}</listen><policy context="default">${allow}</policy></busconfig>`;
  await lab.writeFile("host", "/etc/bare.conf", config);
  const bus = await lab.asUser(["dbus-daemon", "--config-file=/etc/bare.conf", "--fork", "--nopidfile"]);
  assert.is(bus.status, 0, bus.stderr);
  const run = await portshim(STARTED, { env: { DBUS_SESSION_BUS_ADDRESS: `unix:path=${socket}` } });
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(
    run.stderr,
    "from here: the host has no flatpak, whose session helper runs commands for containers; install flatpak on the host (flatpak-spawn answered: ",
  );
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("no bridge program", async () => {
  const path = await spawnPath();
  await lab.inToolbox(["mv", path, `${path}.away`], { root: true });
  const run = await portshim(STARTED);
  await lab.inToolbox(["mv", `${path}.away`, path], { root: true });
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(
    run.stderr,
    "from here: no flatpak-spawn or host-spawn here to reach the host; install one: package flatpak-spawn on Fedora, ",
  );
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("a host without pkexec and run0", async () => {
  await lab.asHost(["mv", "/usr/bin/run0", "/usr/bin/run0.away"]);
  const run = await withoutPkexec(lab, () => portshim(STARTED));
  await lab.asHost(["mv", "/usr/bin/run0.away", "/usr/bin/run0"]);
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(run.stderr, "from here: the host has no pkexec and no run0\n");
  assert.ok(run.stderr.endsWith(BY_HAND));
});

test("a host that has run0 and no pkexec", async () => {
  const prompts = (await lab.prompts()).length;
  const run = await withoutPkexec(lab, () => portshim(STARTED));
  await lab.polkit("NO");
  await lab.setThreshold(1024);
  const refused = await withoutPkexec(lab, () => portshim(STARTED));
  const both = await portshim(["--dry-run", "--via=run0", ...STARTED]);
  assert.equal([run.status, run.stdout], [0, "started\n"], run.stderr);
  const command = `/usr/bin/run0 --background= /usr/sbin/sysctl -w ${NAME}=80`;
  assert.match(run.stderr, `Running as root on the host (you may be asked for your password):\n    ${command}\n`);
  assert.match(run.stderr, "Done. Any user can now bind ports 80 and up, until the host reboots.");
  assert.match((await lab.prompts()).slice(prompts)[0] ?? "", RUN0_ASKS);
  assert.equal([refused.status, refused.stdout, await lab.threshold()], [77, "", 1024]);
  assert.match(refused.stderr, "portshim: permission denied by the host");
  assert.match(refused.stderr, `Tried through ${await spawnPath()}:\n    ${command}\n`);
  assert.match(both.stdout, `Would run as root:\n    ${command}\n`);
});

test("a route that says yes and changes nothing has failed", async () => {
  // Marked fake: a sysctl that lies, which the real one cannot be made to do.
  await lab.asHost(["cp", "/usr/sbin/sysctl", "/usr/sbin/sysctl.away"]);
  await lab.writeFile("host", "/usr/sbin/sysctl", `#!/bin/sh\necho "${NAME} = 80"\n`, 0o755);
  const run = await portshim(STARTED);
  await lab.asHost(["mv", "/usr/sbin/sysctl.away", "/usr/sbin/sysctl"]);
  assert.equal([run.status, run.stdout, await lab.threshold()], [69, "", 1024]);
  assert.match(run.stderr, `the host reports success, but ${NAME} is still 1024\n`);
});

test("toolbox run passes portshim's statuses on, and adds no message of its own", async () => {
  await lab.polkit("NO");
  for (const [argv, status, end] of [
    [["--frob"], 64, 'portshim: unknown option "--frob"; see portshim --help\n'],
    [["--via=nsenter", ...STARTED], 69, BY_HAND],
    [STARTED, 77, "RestartPreventExitStatus=NOPERM keeps a restart from asking again.\n"],
  ] as const) {
    // The lab's runner would pass on any status.
    const run = await lab.asUser(["toolbox", "run", "--container", lab.toolbox, "portshim", ...argv]);
    assert.equal([run.status, run.stdout, run.stderr.slice(-end.length)], [status, "", end]);
  }
});

test("the host's files decide if the container's ask for nothing", async () => {
  await lab.removeFile("toolbox", "/etc/sysctl.d/80-web.conf");
  await lab.writeFile("host", "/etc/sysctl.d/60-host.conf", `${NAME} = 443\n`);
  const run = await portshim(STARTED);
  await lab.removeFile("host", "/etc/sysctl.d/60-host.conf");
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `# the web server's\n${NAME}=80\n`);
  assert.equal([run.status, run.stdout, await lab.threshold()], [0, "started\n", 443]);
  assert.match(run.stderr, "portshim: /run/host/etc/sysctl.d/60-host.conf:1 sets");
});

async function spawnPath(): Promise<string> {
  const paths = ["/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn"];
  const { stdout } = await lab.inToolbox([
    "sh",
    "-c",
    'for path; do [ -x "$path" ] && echo "$path"; done',
    "sh",
    ...paths,
  ]);
  return stdout.trim();
}

test.run();
