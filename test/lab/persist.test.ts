import * as assert from "uvu/assert";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { startAgent } from "./agent.js";
import { CONTAINERS_PORTSHIM, withPortshim } from "./container.js";
import { type Lab, type Result, startLab } from "./lab.js";
import { RUN0_ASKS, withoutPkexec } from "./pkexec.js";
import { BASE, NAME } from "./start.js";

const test = suite("portshim persist", "lab", "nodes");

const FILE = "/etc/sysctl.d/90-portshim.conf";
const text = (
  value: number,
) => `# Written by portshim persist: any user can bind ports ${value} and up, also after a reboot.
${NAME} = ${value}
# To undo it: portshim persist --remove
`;
/** The host's command, as polkit sees it and would show it. */
const WRITE = `/bin/sh -c umask 022; tee ${FILE} | sysctl -p -`;
const REMOVE = `/bin/sh -c rm -f ${FILE} || exit; sysctl -p -`;
const BY_HAND = `Run this on the host:\n    echo ${NAME}=80 | sudo tee /etc/sysctl.d/90-ports.conf && sudo sysctl -w ${NAME}=80\n`;

let lab: Lab;
/** The host's portshim and Node, for its own users. */
let onHost: { argv: string[]; env: Record<string, string> };

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
  // A booted systemd is what tells a host; the lab has none.
  const { repository } = lab;
  onHost = {
    argv: [`${repository}/shim/portshim`, "persist"],
    env: { PATH: `${lab.nodes}/node26/bin:/usr/sbin:/usr/bin:/sbin:/bin` },
  };
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
  await lab.removeFile("host", FILE);
  await lab.polkit("YES");
});

const persist = (...argv: string[]): Promise<Result> => lab.inToolbox(["portshim", "persist", ...argv]);

/** The host's file; empty if there is none. */
const written = async () => (await lab.asHost(["sh", "-c", `cat ${FILE} 2>/dev/null`])).stdout;
const listed = async () => (await lab.asHost(["ls", "-A", "/etc/sysctl.d"])).stdout;

/** How often the host was asked, for a password or for anything. */
const asked = async () => [(await lab.prompts()).length, await lab.hostCalls()];

/**
 * A fresh network namespace on the host, as after a reboot, to which the real systemd-sysctl applies the host's files:
 * of these only our setting, because the others can be this machine's. Resolves to what the command wrote there.
 */
async function afterRestart(...argv: string[]): Promise<Result> {
  const script = `ip link set lo up && /lib/systemd/systemd-sysctl --prefix=/${NAME.replaceAll(".", "/")} && exec "$@"`;
  return lab.asHost(["unshare", "--net", "sh", "-c", script, "sh", ...argv]);
}

const thresholdAfterRestart = async () =>
  Number((await afterRestart("cat", `/proc/sys/${NAME.replaceAll(".", "/")}`)).stdout);

test("in a toolbox: shows file and command, one prompt, and the host keeps it over a restart", async () => {
  const [prompts = 0] = await asked();
  const run = await persist();
  assert.is(run.status, 0, run.stderr);
  assert.is(run.stdout, "");
  const shown = text(80).trimEnd().replace(/^/gm, "    ");
  assert.is(
    run.stderr,
    `portshim: Writing this on the host, as ${FILE}:
${shown}
Running as root on the host (you may be asked for your password):
    /usr/bin/pkexec /bin/sh -c 'umask 022; tee ${FILE} | sysctl -p -'
portshim: Done. Any user can now bind ports 80 and up, also after a reboot. To undo it:
    portshim persist --remove
`,
  );
  assert.equal([await lab.threshold(), await written()], [80, text(80)]);
  assert.is((await lab.asHost(["stat", "--format=%a %U:%G", FILE])).stdout, "644 root:root\n");
  assert.equal((await lab.prompts()).slice(prompts), [WRITE]);

  assert.is(await thresholdAfterRestart(), 80);
  const before = await asked();
  const start = `exec setpriv --reuid ${lab.uid} --regid ${lab.uid} --init-groups \
    env PATH=${onHost.env.PATH} XDG_RUNTIME_DIR=/run/user/${lab.uid} \
    ${lab.repository}/shim/portshim -- node -e 'require("net").createServer().listen(80, () => { console.log("serving"); process.exit() })'`;
  const server = await afterRestart("sh", "-c", start);
  assert.equal([server.status, server.stdout, server.stderr], [0, "serving\n", ""]);
  assert.equal(await asked(), before);
});

test("run again, it changes nothing and asks nobody", async () => {
  await persist();
  const [prompts, inode] = [(await lab.prompts()).length, await stat()];
  const again = await persist();
  assert.is(again.status, 0);
  assert.is(
    again.stderr,
    `portshim: Nothing to do: any user can bind ports 80 and up, also after a reboot (/run/host${FILE}:2).\n`,
  );
  assert.equal([(await lab.prompts()).length, await stat()], [prompts, inode]);
});

const stat = async () => (await lab.asHost(["stat", "--format=%i %Y %Z", FILE])).stdout;

test("another file on the host that keeps it already is enough", async () => {
  await lab.setThreshold(80);
  await lab.writeFile("host", "/etc/sysctl.d/50-admin.conf", `# the admin's\n${NAME} = 70\n`);
  const before = (await lab.prompts()).length;
  const run = await persist();
  await lab.removeFile("host", "/etc/sysctl.d/50-admin.conf");
  assert.equal([run.status, (await lab.prompts()).length, await written()], [0, before, ""]);
  assert.match(run.stderr, "(/run/host/etc/sysctl.d/50-admin.conf:2)");
});

test("what the host keeps already is applied, and not raised", async () => {
  await lab.writeFile("host", "/etc/sysctl.d/50-admin.conf", `${NAME} = 70\n`);
  const before = (await lab.prompts()).length;
  const run = await persist("--start=443");
  const asked = (await lab.prompts()).slice(before);
  const restarted = await thresholdAfterRestart();
  await lab.removeFile("host", "/etc/sysctl.d/50-admin.conf");
  assert.equal([run.status, await lab.threshold(), await written(), restarted], [0, 443, "", 70], run.stderr);
  assert.equal(asked, [`/usr/sbin/sysctl -w ${NAME}=443`]);
  const said = "/run/host/etc/sysctl.d/50-admin.conf:1 sets it on the host, but it was never applied: setting it now";
  assert.ok(run.stderr.startsWith(`portshim: ${said}\n`), run.stderr);
  assert.ok(
    run.stderr.endsWith("portshim: Done. Any user can now bind ports 443 and up, also after a reboot.\n"),
    run.stderr,
  );
});

test("nothing is written that asks for more than the host starts with", async () => {
  const before = await asked();
  await lab.writeFile("toolbox", "/etc/sysctl.d/99-more.conf", `${NAME}=2000\n`);
  const more = await persist();
  await lab.removeFile("toolbox", "/etc/sysctl.d/99-more.conf");
  const same = await persist("--start=1024");
  for (const [run, from] of [
    [more, 2000],
    [same, 1024],
  ] as const) {
    const sentence = `Nothing to do: any user can bind ports ${from} and up, also after a reboot (the kernel's default).`;
    assert.equal([run.status, run.stderr], [0, `portshim: ${sentence}\n`]);
  }
  assert.equal([(await lab.prompts()).length, await written(), await lab.threshold()], [before[0], "", 1024]);
});

test("what is not there after a restart keeps nothing: /run, and a sysctl.conf that systemd does not read", async () => {
  await lab.asHost(["sh", "-c", "mv /etc/sysctl.d/99-sysctl.conf /root/ && cp /etc/sysctl.conf /root/"]);
  for (const file of ["/run/sysctl.d/50-gone.conf", "/etc/sysctl.conf"]) {
    await lab.setThreshold(80);
    await lab.writeFile("host", file, `${NAME}=80\n`);
    const check = await lab.inToolbox(["portshim", "check"]);
    assert.match(check.stdout, "can be bound until the host reboots.\nTo make it permanent:\n    portshim persist\n");
    const run = await persist();
    assert.equal([run.status, await written()], [0, text(80)], run.stderr);
    await persist("--remove");
    assert.is(await lab.threshold(), 1024);
    await lab.removeFile("host", file);
  }
  await lab.asHost(["sh", "-c", "mv /root/99-sysctl.conf /etc/sysctl.d/ && cp /root/sysctl.conf /etc/"]);
});

test("a file on the host that would win is named, with its line", async () => {
  await lab.writeFile("host", "/etc/sysctl.d/99-admin.conf", `# the admin's\n${NAME} = 1000\n`);
  const run = await persist();
  const again = await persist();
  const restarted = await thresholdAfterRestart();
  await lab.removeFile("host", "/etc/sysctl.d/99-admin.conf");
  const warning = `portshim: /run/host/etc/sysctl.d/99-admin.conf:2 overrides ${FILE}: it sets "1000", which applies from the host's next reboot. Remove that line to keep 80.\n`;
  assert.ok(run.stderr.startsWith(warning), run.stderr);
  const end =
    "Done. Any user can now bind ports 80 and up, until the host reboots. To undo it:\n    portshim persist --remove\n";
  assert.ok(run.stderr.endsWith(end), run.stderr);
  assert.equal([run.status, await lab.threshold(), await written()], [0, 80, text(80)]);
  assert.is(again.stderr, `${warning}portshim: Nothing to do: the host has ${FILE} already.\n`);
  assert.is(restarted, 1000);
});

test("--remove removes it, and restores the kernel's default", async () => {
  await persist();
  const prompts = (await lab.prompts()).length;
  const run = await persist("--remove");
  assert.equal([run.status, await lab.threshold(), await written()], [0, 1024, ""], run.stderr);
  assert.ok(run.stderr.startsWith(`portshim: Removing ${FILE} on the host, and setting ${NAME} to 1024\n`), run.stderr);
  assert.ok(
    run.stderr.endsWith(`portshim: Done. ${FILE} is gone, and any user can bind ports 1024 and up.\n`),
    run.stderr,
  );
  assert.equal((await lab.prompts()).slice(prompts), [REMOVE]);
  const again = await persist("--remove");
  assert.equal([again.status, again.stderr], [0, `portshim: Nothing to do: the host has no ${FILE}.\n`]);
  assert.is((await lab.prompts()).length, prompts + 1);
  assert.is(await thresholdAfterRestart(), 1024);
});

test("--remove restores what the host's other files set", async () => {
  await persist();
  await lab.writeFile("host", "/usr/lib/sysctl.d/50-vendor.conf", `${NAME} = 443\n`);
  const run = await persist("--remove");
  const restarted = await thresholdAfterRestart();
  await lab.removeFile("host", "/usr/lib/sysctl.d/50-vendor.conf");
  assert.equal([run.status, await lab.threshold(), restarted], [0, 443, 443], run.stderr);
});

test("a file of that name that is not portshim's is left alone", async () => {
  for (const prepare of [`echo ${NAME}=90 >${FILE}`, `ln -s /dev/null ${FILE}`, `mkdir ${FILE}`, `mkfifo ${FILE}`]) {
    await lab.asHost(["sh", "-c", prepare]);
    for (const argv of [[], ["--remove"]]) {
      const run = await persist(...argv);
      assert.is(run.status, 69, run.stderr);
      const sentence = `on the host: it exists, and portshim did not write it\n`;
      assert.ok(run.stderr.includes(sentence), `${prepare}: ${run.stderr}`);
    }
    await lab.removeFile("host", FILE);
  }
  assert.is(await lab.threshold(), 1024);
  // It is enough if it keeps the value as well, whoever wrote it.
  await lab.writeFile("host", FILE, `${NAME}=80\n`);
  const applied = await persist();
  const again = await persist();
  assert.equal([applied.status, again.status, await lab.threshold(), await written()], [0, 0, 80, `${NAME}=80\n`]);
  assert.match(again.stderr, "Nothing to do: any user can bind ports 80 and up, also after a reboot");
});

test("--remove takes no --start", async () => {
  const run = await persist("--remove", "--start=80");
  const sentence = "--remove restores what the host's other files set, and takes no --start";
  assert.equal([run.status, run.stderr], [64, `portshim: ${sentence}\n`]);
  // The variable can be set for the servers.
  const variable = await lab.inToolbox(["portshim", "persist", "--remove"], { env: { PORTSHIM_START: "80" } });
  assert.equal([variable.status, variable.stderr], [0, `portshim: Nothing to do: the host has no ${FILE}.\n`]);
});

test("on the host in a network namespace of its own: the reason", async () => {
  const run = await lab.asHost(["unshare", "--net", ...onHost.argv], { env: onHost.env });
  assert.equal([run.status, await written()], [69, ""]);
  assert.match(run.stderr, "on the host: this is the host itself with its own network, which is not the host");
});

test("a folder on the host that cannot be read is left alone", async () => {
  await lab.writeFile("host", FILE, `${NAME}=90\n`);
  await lab.asHost(["chmod", "700", "/etc/sysctl.d"]);
  const hidden = await persist();
  await lab.asHost(["chmod", "755", "/etc/sysctl.d"]);
  assert.equal([hidden.status, await written()], [69, `${NAME}=90\n`]);
  assert.match(hidden.stderr, "on the host: cannot read the host's /etc/sysctl.d from here\n");
});

test("a folder on the host that is a link is followed as the host would", async () => {
  await lab.asHost([
    "sh",
    "-c",
    "cp -a /etc/sysctl.d /opt/sysctl.d && mv /etc/sysctl.d /etc/away && ln -s /opt/sysctl.d /etc",
  ]);
  const run = await persist();
  const again = await persist();
  const removed = await persist("--remove");
  await lab.asHost(["sh", "-c", "rm /etc/sysctl.d && mv /etc/away /etc/sysctl.d && rm -r /opt/sysctl.d"]);
  assert.is(run.status, 0, run.stderr);
  assert.match(again.stderr, /^portshim: Nothing to do: /);
  assert.match(removed.stderr, /Done\. .* is gone/);
});

test("a host without /etc/sysctl.d: nobody is asked, and what to do is said", async () => {
  await lab.asHost(["mv", "/etc/sysctl.d", "/etc/away"]);
  const before = (await lab.prompts()).length;
  const [run, removed] = [await persist(), await persist("--remove")];
  await lab.asHost(["mv", "/etc/away", "/etc/sysctl.d"]);
  assert.equal([run.status, removed.status, await lab.threshold()], [69, 0, 1024], run.stderr);
  assert.ok(
    run.stderr.endsWith(
      `${FILE} on the host: the host has no /etc/sysctl.d\nRun this on the host, then persist again:\n    sudo mkdir -m 755 /etc/sysctl.d\n`,
    ),
    run.stderr,
  );
  assert.is((await lab.prompts()).length, before);
});

test("a host without sysctl: what it keeps already cannot be set, and nothing is missing if it is set", async () => {
  await lab.writeFile("host", "/etc/sysctl.d/50-admin.conf", `${NAME} = 80\n`);
  await lab.asHost(["mv", "/usr/sbin/sysctl", "/usr/sbin/sysctl.away"]);
  const before = (await lab.prompts()).length;
  const run = await persist();
  // The lab's own setThreshold() needs a sysctl.
  await lab.asHost(["sh", "-c", `echo 80 >/proc/sys/${NAME.replaceAll(".", "/")}`]);
  const satisfied = await persist();
  await lab.asHost(["mv", "/usr/sbin/sysctl.away", "/usr/sbin/sysctl"]);
  await lab.removeFile("host", "/etc/sysctl.d/50-admin.conf");
  assert.equal([run.status, satisfied.status, (await lab.prompts()).length], [69, 0, before], run.stderr);
  assert.ok(run.stderr.endsWith(`${FILE} on the host: the host has no sysctl\n${BY_HAND}`), run.stderr);
  assert.match(satisfied.stderr, /^portshim: Nothing to do: /);
});

/** What is said about half-done work: why, what is done, and the one thing to do next. */
function halfDone(why: RegExp, now: string, next: string, { stderr }: Result): void {
  const [, answer = "", rest] = /^portshim: persist failed: (.*)\n([\s\S]*)/m.exec(stderr) ?? [];
  assert.ok(why.test(answer), stderr);
  assert.is(rest, `Now ${now} after the host's next reboot.\n${next}`);
}

test("a value that cannot be set: the state of the file, and what to do", async () => {
  const remount = (mode: "ro" | "rw") => lab.asHost(["mount", "-o", `remount,bind,${mode}`, "/proc/sys/net"]);
  const next = (value: number) => `Run this on the host:\n    sudo sysctl -w ${NAME}=${value}\n`;
  await persist("--start=80");
  await remount("ro");
  const lower = await persist("--start=70");
  const filed = await written();
  const remove = await persist("--remove");
  await remount("rw");
  assert.equal(
    [lower.status, filed, remove.status, await written(), await lab.threshold()],
    [69, text(70), 69, "", 80],
    lower.stderr,
  );
  halfDone(/^sysctl: /, `${FILE} is there; ${NAME} is 80, and will be 70`, next(70), lower);
  halfDone(/^sysctl: /, `there is no ${FILE}; ${NAME} is 80, and will be 1024`, next(1024), remove);
});

test("a program on the host that cannot be executed is not a refusal", async () => {
  await lab.asHost(["mount", "--bind", "/dev/null", "/usr/bin/tee"]);
  const run = await persist();
  await lab.asHost(["umount", "/usr/bin/tee"]);
  assert.equal([run.status, await lab.threshold(), await written()], [69, 1024, ""]);
  halfDone(/tee: Permission denied/, `there is no ${FILE}; ${NAME} is 1024, and will be 1024`, BY_HAND, run);
});

test("--start: another port; the threshold is not raised", async () => {
  await lab.setThreshold(20);
  const before = (await lab.prompts()).length;
  const run = await persist("--start=443");
  assert.equal([run.status, await lab.threshold(), await written()], [0, 20, text(443)], run.stderr);
  assert.equal((await lab.prompts()).slice(before), [`/bin/sh -c umask 022; tee ${FILE}`]);
});

test("--dry-run changes nothing, and prints what would be done", async () => {
  const before = (await lab.prompts()).length;
  const run = await persist("--dry-run");
  assert.equal([run.status, run.stderr], [0, ""]);
  assert.ok(run.stdout.startsWith(`Would write this on the host, as ${FILE}:\n    # Written by portshim persist`));
  assert.equal([await lab.threshold(), await written(), (await lab.prompts()).length], [1024, "", before]);
});

test("--quiet says only what is about to run as root", async () => {
  const run = await persist("--quiet");
  assert.is(run.status, 0);
  assert.ok(run.stderr.startsWith("portshim: Writing this on the host"));
  assert.not.match(run.stderr, /Done/);
});

test("two at once make one prompt", async () => {
  const before = (await lab.prompts()).length;
  const runs = await Promise.all([persist(), persist()]);
  assert.equal(
    runs.map(({ status }) => status),
    [0, 0],
  );
  assert.equal([(await lab.prompts()).length, await written()], [before + 1, text(80)]);
});

test("on the host itself, an ordinary user and root", async () => {
  const before = (await lab.prompts()).length;
  const user = await lab.asUser(onHost.argv, { env: onHost.env });
  assert.equal([user.status, await lab.threshold(), await written()], [0, 80, text(80)], user.stderr);
  assert.is((await lab.prompts()).length, before + 1);
  // After a plain su, root's PATH has no sbin.
  const env = { PATH: String(onHost.env.PATH).replaceAll(/:[^:]*sbin/g, "") };
  const removed = await lab.asHost([...onHost.argv, "--remove"], { env });
  assert.equal([removed.status, await lab.threshold(), await written()], [0, 1024, ""], removed.stderr);
  assert.is((await lab.prompts()).length, before + 1);
  assert.not.match(removed.stderr, /pkexec/);
});

test("in a distrobox", async () => {
  // The marks of a toolbox stay: a real distrobox has them, too.
  await lab.writeFile("toolbox", "/usr/bin/distrobox-host-exec", "#!/bin/sh\nexit 1\n", 0o755);
  const run = await lab.inToolbox(["portshim", "persist", "--verbose"], { env: { CONTAINER_ID: "box" } });
  await lab.removeFile("toolbox", "/usr/bin/distrobox-host-exec");
  assert.equal([run.status, await lab.threshold(), await written()], [0, 80, text(80)], run.stderr);
  assert.match(run.stderr, "place: a distrobox");
});

test("--via=sudo, if it asks for no password", async () => {
  const refused = await persist("--via=sudo");
  assert.is(refused.status, 77);
  assert.match(refused.stderr, `permission denied by the host: sudo: `);
  await lab.writeFile("host", "/etc/sudoers.d/test", `${lab.user} ALL=(root) NOPASSWD: /bin/sh\n`, 0o440);
  await lab.asHost(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/etc/sysctl.d"]);
  const failed = await persist("--via=sudo");
  await lab.asHost(["umount", "/etc/sysctl.d"]);
  assert.equal([failed.status, await lab.threshold()], [69, 80]);
  assert.match(failed.stderr, `persist failed: tee: ${FILE}: Read-only file system`);
  await lab.setThreshold(1024);
  const run = await persist("--via=sudo");
  await lab.removeFile("host", "/etc/sudoers.d/test");
  assert.equal([run.status, await lab.threshold(), await written()], [0, 80, text(80)], run.stderr);
  const ordered = await persist("--remove", "--via=sudo,pkexec", "--dry-run");
  assert.match(ordered.stdout, "/usr/bin/sudo -n /bin/sh -c 'rm -f ");
  // sudo asks for a password now; the next way is used.
  const fallback = await persist("--remove", "--via=sudo,pkexec");
  assert.equal([fallback.status, await lab.threshold(), await written()], [0, 1024, ""], fallback.stderr);
  const none = await lab.inToolbox(["portshim", "persist"], { env: { PORTSHIM_VIA: "nsenter" } });
  assert.is(none.status, 69);
  assert.match(none.stderr, "--via or PORTSHIM_VIA names none of write, pkexec, run0, sudo\n");
  const here = await persist("--via=write");
  assert.match(here.stderr, "on the host: portshim does not run as root on the host\n");
});

test("on a host that has run0 and no pkexec", async () => {
  const before = (await lab.prompts()).length;
  const [run, filed, removed] = await withoutPkexec(
    lab,
    async () => [await persist(), await written(), await persist("--remove")] as const,
  );
  assert.equal([run.status, filed, removed.status, await written()], [0, text(80), 0, ""], run.stderr);
  assert.match(run.stderr, `\n    /usr/bin/run0 --background= /bin/sh -c 'umask 022; tee ${FILE} | sysctl -p -'\n`);
  const asked = (await lab.prompts()).slice(before);
  assert.equal([asked.length, asked.every((question) => RUN0_ASKS.test(question))], [2, true], asked.join());
  assert.is(await lab.threshold(), 1024);
});

test("elsewhere: the reason", async () => {
  const run = await lab.asUser(
    ["podman", "run", "--rm", "--network", "host", ...withPortshim(lab), BASE, CONTAINERS_PORTSHIM, "persist"],
    { timeout: 60_000 },
  );
  assert.is(run.status, 69);
  assert.match(
    run.stderr,
    `portshim: cannot change ${FILE} on the host: this is a rootless podman container; persist works on the host itself, in a toolbox and in a distrobox\n`,
  );
  const unshared = await lab.asHost(["unshare", "--net", ...onHost.argv], { env: { ...onHost.env, container: "x" } });
  assert.is(unshared.status, 69);
  assert.match(unshared.stderr, "on the host: this is neither a host nor a container");
});

test("no bus: the reason, and nothing is changed", async () => {
  const run = await lab.inToolbox(["portshim", "persist"], { env: { DBUS_SESSION_BUS_ADDRESS: "unix:path=/none" } });
  assert.is(run.status, 69);
  assert.match(run.stderr, "on the host: there is no session bus here;");
  assert.equal([await lab.threshold(), await written()], [1024, ""]);
});

test("a policy's no: the sentence, what to do by hand, and nothing is changed", async () => {
  await lab.polkit("NO");
  const before = await listed();
  const run = await persist();
  assert.is(run.status, 77);
  assert.match(run.stderr, `portshim: permission denied by the host: wrong password, or polkit`);
  assert.ok(run.stderr.endsWith(BY_HAND), run.stderr);
  assert.equal([await lab.threshold(), await listed()], [1024, before]);
});

test("stopped while the password is asked for: the prompt goes, and nothing is changed", async () => {
  await lab.polkit("AUTH_ADMIN");
  const agent = await startAgent(lab);
  const running = await lab.spawn("toolbox", ["portshim", "persist"]);
  await agent.asked();
  await running.kill("SIGTERM");
  const { signal } = await running.exited;
  await agent.stop();
  assert.is(signal, "SIGTERM");
  assert.equal([await lab.threshold(), await written()], [1024, ""]);
});

test("the right password: written", async () => {
  await lab.polkit("AUTH_ADMIN");
  const agent = await startAgent(lab);
  const running = await lab.spawn("toolbox", ["portshim", "persist"]);
  await agent.asked();
  agent.type(lab.password);
  const { status, stderr } = await running.exited;
  await agent.stop();
  assert.equal([status, await lab.threshold(), await written()], [0, 80, text(80)], stderr);
});

for (const [name, mount, why, file, next] of [
  [
    "a full disk",
    "mount -t tmpfs -o size=4k tmpfs /etc/sysctl.d && head -c 4096 /dev/zero >/etc/sysctl.d/full",
    /No space left on device/,
    `${FILE} is empty`,
    "Make room on the host's disk and run it again, or undo it:\n    portshim persist --remove\n",
  ],
  [
    "a full disk that has no room for a file either",
    "mount -t tmpfs -o nr_inodes=1 tmpfs /etc/sysctl.d",
    /No space left on device/,
    `there is no ${FILE}`,
    BY_HAND,
  ],
  [
    "a read-only /etc",
    "mount -t tmpfs -o ro tmpfs /etc/sysctl.d",
    /Read-only file system/,
    `there is no ${FILE}`,
    BY_HAND,
  ],
] as const) {
  test(`${name}: what is done and what is not, and the next step`, async () => {
    const mounted = await lab.asHost(["sh", "-c", mount]);
    assert.is(mounted.status, 0, mounted.stderr);
    const run = await persist();
    const size = await lab.asHost(["stat", "--format=%s", FILE]);
    const threshold = await lab.threshold();
    // It can be run again, and undone, on a full disk.
    const again = await persist();
    const undone = await persist("--remove");
    const after = await written();
    const umounted = await lab.asHost(["umount", "/etc/sysctl.d"]);
    assert.is(umounted.status, 0, umounted.stderr);
    halfDone(why, `${file}; ${NAME} is 80, and will be 1024`, next, run);
    assert.equal([run.status, threshold, size.stdout], [69, 80, file.endsWith("empty") ? "0\n" : ""]);
    assert.equal([again.status, undone.status, after], [69, 0, ""], undone.stderr);
    if (file.endsWith("empty")) assert.is(await lab.threshold(), 1024);
  });
}

test("a file that was there before: it is emptied, or cut off, and persist knows it again", async () => {
  await lab.asHost(["sh", "-c", "mount -t tmpfs -o size=4k tmpfs /etc/sysctl.d && cp /usr/bin/tee /root/tee"]);
  const next = "Make room on the host's disk and run it again, or undo it:\n    portshim persist --remove\n";
  // Stand-ins for a disk that another process fills right after tee has emptied the file.
  for (const [tee, why, now] of [
    ['ulimit -f 0; trap "" XFSZ; exec /root/tee "$@"', /File too large/, `is empty; ${NAME} is 80`],
    ['head -c 99 >"$1"; echo full >&2', /^full$/, `is half written; ${NAME} is 443`],
  ] as const) {
    await lab.setThreshold(443);
    const first = await persist("--start=443");
    await lab.writeFile("host", "/root/stand-in", `#!/bin/sh\n${tee}\n`, 0o755);
    await lab.asHost(["mount", "--bind", "/root/stand-in", "/usr/bin/tee"]);
    const run = await persist("--start=80");
    await lab.asHost(["umount", "/usr/bin/tee"]);
    const again = await persist("--start=80");
    assert.equal([first.status, run.status, again.status, await written()], [0, 69, 0, text(80)], run.stderr);
    halfDone(why, `${FILE} ${now}, and will be 1024`, next, run);
    await lab.removeFile("host", FILE);
  }
  await lab.asHost(["umount", "/etc/sysctl.d"]);
});

test("--remove from a read-only /etc: a sentence, and the threshold stays", async () => {
  await persist();
  await lab.asHost(["sh", "-c", "mount --bind /etc/sysctl.d /etc/sysctl.d && mount -o remount,bind,ro /etc/sysctl.d"]);
  const run = await persist("--remove");
  await lab.asHost(["umount", "/etc/sysctl.d"]);
  assert.equal([run.status, await lab.threshold(), await written()], [69, 80, text(80)]);
  halfDone(
    /^rm: cannot remove .*: Read-only file system$/,
    `${FILE} is what it was; ${NAME} is 80, and will be 80`,
    `Run this on the host:\n    sudo rm -f ${FILE} && sudo sysctl -w ${NAME}=1024\n`,
    run,
  );
});

const SPAWN = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn --host --directory=/";

/** A bridge that runs `instead` when root would be asked, in place of the real one: no real host does these things. */
async function throughBridge(instead: string): Promise<Record<string, string>> {
  const bridge = `#!/bin/sh\ncase "$*" in *pkexec\\ /bin/sh*) ${instead} ;; *) exec ${SPAWN} "$@" ;; esac\n`;
  await lab.writeFile("toolbox", "/opt/bridge", bridge, 0o755);
  return { PORTSHIM_BRIDGE: "/opt/bridge" };
}

test("a host that says yes and does nothing is not believed", async () => {
  const env = await throughBridge("cat");
  const run = await lab.inToolbox(["portshim", "persist"], { env });
  assert.is(run.status, 69);
  halfDone(/^the host reports success$/, `there is no ${FILE}; ${NAME} is 1024, and will be 1024`, BY_HAND, run);
});

test("a bus that dies before root was asked is not mistaken for a yes", async () => {
  const env = await throughBridge("exit 0");
  const run = await lab.inToolbox(["portshim", "persist"], { env });
  assert.is(run.status, 69);
  assert.match(run.stderr, "cannot ask the host: bridge ended without an answer: the session bus went away\n");
  assert.ok(run.stderr.endsWith(BY_HAND), run.stderr);
  assert.not.match(run.stderr, /Now /);
});

test("a bus that dies after root has done it: it is done", async () => {
  const env = await throughBridge(`${SPAWN} "$@" >/dev/null 2>&1; exit 1`);
  const run = await lab.inToolbox(["portshim", "persist"], { env });
  assert.equal([run.status, await written(), await lab.threshold()], [0, text(80), 80], run.stderr);
});

test("a bus that dies, or a stop, when root has done half of it: that is said", async () => {
  await lab.asHost(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/etc/sysctl.d"]);
  const now = `Now there is no ${FILE}; ${NAME} is 80, and will be 1024 after the host's next reboot.\n${BY_HAND}`;
  const died = await lab.inToolbox(["portshim", "persist"], {
    env: await throughBridge(`${SPAWN} "$@" >/dev/null 2>&1; exit 1`),
  });
  await lab.setThreshold(1024);
  const env = await throughBridge(`${SPAWN} "$@"; exec sleep 20`);
  const running = await lab.spawn("toolbox", ["portshim", "persist"], { env });
  while ((await lab.threshold()) !== 80) await new Promise((resolve) => setTimeout(resolve, 20));
  await running.kill("SIGTERM");
  const stopped = await running.exited;
  await lab.asHost(["umount", "/etc/sysctl.d"]);
  assert.is(died.status, 69);
  assert.ok(died.stderr.endsWith(`the session bus went away\n${now}`), died.stderr);
  assert.is(stopped.signal, "SIGTERM");
  assert.ok(stopped.stderr.endsWith(`portshim: ${now}`), stopped.stderr);
});

test("an invalid port does not reach root", async () => {
  const before = (await lab.prompts()).length;
  for (const start of ["80; touch /x", "-1", "1025", "$(id)", "80\n81"]) {
    const run = await persist(`--start=${start}`);
    assert.is(run.status, 64);
    assert.match(run.stderr, "--start must be an integer from 0 to 1024, not ");
  }
  assert.is((await lab.prompts()).length, before);
});

test("docs/persist.md and SECURITY.md: the commands that root is asked to run", async () => {
  const asUser = (command: string, input = "") => lab.asUser(["bash", "-c", command], { input });
  const write = codeOf("docs/persist.md", `pkexec /bin/sh -c 'umask 022; tee ${FILE} | sysctl -p -'`);
  const remove = codeOf("docs/persist.md", `pkexec /bin/sh -c 'rm -f ${FILE} || exit; sysctl -p -'`);
  const set = codeOf("SECURITY.md", `pkexec /usr/sbin/sysctl -w ${NAME}=80`);
  assert.is((await asUser(write, `${NAME}=80\n`)).status, 0);
  assert.equal([await lab.threshold(), await written()], [80, `${NAME}=80\n`]);
  assert.is((await asUser(remove, `${NAME}=1024\n`)).status, 0);
  assert.equal([await lab.threshold(), await written()], [1024, ""]);
  assert.is((await asUser(set)).status, 0);
  assert.is(await lab.threshold(), 80);
});

test("of all that root was asked here, polkit's prompt shows every word: 80 characters", async () => {
  const prompts = await lab.prompts();
  assert.ok(prompts.includes(WRITE) && prompts.includes(REMOVE));
  for (const prompt of prompts) assert.ok(prompt.length <= 80 && !/[&<>]/.test(prompt), prompt);
});

test.run();
