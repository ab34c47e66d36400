import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { withDialog } from "./dialog.js";
import { type Lab, type Running, startLab, type Where } from "./lab.js";

const test = suite("lab", "lab", "nodes");
const key = "net.ipv4.ip_unprivileged_port_start";
const flatpakSpawn = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
const toHost = [flatpakSpawn, "--host", "--watch-bus", "--directory=/", "--clear-env"];
const everywhere: readonly Where[] = ["host", "user", "graphical", "toolbox", "distrobox"];

/** What a lab must not change on this machine. */
const machine = () => ({
  sysctls: [key.replaceAll(".", "/"), "kernel/hostname", "fs/protected_regular"].map((name) =>
    readFileSync(`/proc/sys/${name}`, "utf8"),
  ),
  mounts: readFileSync("/proc/self/mountinfo", "utf8"),
  run: readdirSync("/run").sort(),
  cgroups: cgroups(),
});

let lab: Lab;
let before: ReturnType<typeof machine>;

test.before(async () => {
  before = machine();
  lab = await startLab();
});

test.after(async () => {
  await lab?.stop();
});

test("it has booted: systemd is process 1, and every unit is well", async () => {
  assert.is((await lab.asHost(["cat", "/proc/1/comm"])).stdout, "systemd\n");
  assert.is((await lab.asHost(["systemctl", "is-system-running", "--wait"])).stdout, "running\n");
  assert.is((await lab.asUser(["systemctl", "--user", "is-system-running", "--wait"])).stdout, "running\n");
});

test("its programs are the real ones", async () => {
  const versions: [string[], RegExp][] = [
    [["systemctl", "--version"], /^systemd 257 /],
    [["podman", "--version"], /^podman version 5\.4\./],
    [["toolbox", "--version"], /^toolbox version 0\.0\.99\.4\n/],
    [["distrobox", "version"], /^distrobox: 1\.8\.1/],
    [["pkexec", "--version"], /^pkexec version 126\n/],
    [["flatpak", "--version"], /^Flatpak 1\.16\./],
    [["/usr/libexec/flatpak-xdg-utils/flatpak-spawn", "--help"], /--watch-bus/],
  ];
  for (const [argv, version] of versions) assert.match((await lab.asUser(argv)).stdout, version);
  assert.match((await lab.asHost(["dpkg-query", "--show", "polkitd"])).stdout, /^polkitd\t126-/);
});

test("the user is in login sessions that logind knows, one of them graphical", async () => {
  const show = ["sh", "-c", 'loginctl show-session "$XDG_SESSION_ID" -p Name -p Type -p Class -p Active'];
  const terminal = "Name=ada\nType=tty\nClass=user\nActive=yes\n";
  assert.is((await lab.asUser(show)).stdout, terminal);
  assert.is((await lab.asGraphical(show)).stdout, terminal.replace("tty", "x11"));
  assert.is((await lab.asHost(show)).stdout, terminal.replace("ada", "root"));
  // By this, polkit finds the session of a process.
  const scope = await lab.asUser([
    "sh",
    "-c",
    'grep -c "^0::/user.slice/.*/session-$XDG_SESSION_ID.scope$" /proc/self/cgroup',
  ]);
  assert.is(scope.stdout, "1\n");
});

test("a fresh host starts at 1024, and setting it reaches this host alone", async () => {
  assert.is(await lab.threshold(), 1024);
  await lab.setThreshold(81);
  assert.is(await lab.threshold(), 81);
  assert.equal(machine().sysctls, before.sysctls);
  await lab.setThreshold(1024);
});

for (const where of ["toolbox", "distrobox"] as const) {
  const run = where === "toolbox" ? "inToolbox" : "inDistrobox";

  test(`the ${where} shares the host's network namespace, and that is not the machine's`, async () => {
    const here = await lab[run](["readlink", "/proc/self/ns/net"]);
    const there = await lab[run]([...toHost, "readlink", "/proc/self/ns/net"]);
    assert.is(here.status, 0, here.stderr);
    assert.is(here.stdout, there.stdout);
    assert.ok(lab.namespaces.includes(here.stdout.trim()));
    assert.is.not(here.stdout.trim(), readlinkSync("/proc/self/ns/net"));
  });

  test(`nobody in the ${where} can set the value, not even root`, async () => {
    const argv = ["sh", "-c", "echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start"];
    assert.match((await lab[run](argv)).stderr, /Permission denied/);
    assert.match((await lab[run](argv, { root: true })).stderr, /Permission denied/);
    assert.is((await lab[run](["sudo", ...argv])).status, 2);
    assert.is(await lab.threshold(), 1024);
  });
}

test("a toolbox and a distrobox have their marks", async () => {
  const argv = ["sh", "-c", 'test -e /run/.toolboxenv && echo "$CONTAINER_ID $DISTROBOX_ENTER_PATH"'];
  assert.is((await lab.inToolbox(argv)).stdout, " \n");
  assert.is((await lab.inDistrobox(argv)).stdout, `${lab.distrobox} /usr/bin/distrobox-enter\n`);
});

test("polkit gives the wanted answers, and its questions are recorded", async () => {
  const pkexec = (value: number) => lab.inToolbox([...toHost, "pkexec", "/usr/sbin/sysctl", "-w", `${key}=${value}`]);
  const asked = (await lab.prompts()).length;
  await lab.polkit("YES");
  assert.is((await pkexec(80)).status, 0);
  assert.is(await lab.threshold(), 80);
  assert.equal((await lab.prompts()).slice(asked), [`/usr/sbin/sysctl -w ${key}=80`]);

  const run0 = await lab.inToolbox([
    ...toHost,
    "/usr/bin/run0",
    "--background=",
    "/usr/sbin/sysctl",
    "-w",
    `${key}=79`,
  ]);
  assert.is(run0.status, 0, run0.stderr);
  assert.is(await lab.threshold(), 79);
  assert.match((await lab.prompts()).slice(asked + 1).join(), /^start run-\S+\.service$/);

  await lab.polkit("NO");
  const refused = await pkexec(70);
  assert.is(refused.status, 127);
  assert.match(refused.stderr, "Not authorized");
  assert.is(await lab.threshold(), 79);
  assert.is((await lab.prompts()).length, asked + 3);
  await lab.setThreshold(1024);
});

test("polkit's dialog is real: dismissed, a wrong password, the right one", async () => {
  await lab.polkit("AUTH_ADMIN");
  const pkexec = [...toHost, "pkexec", "/usr/sbin/sysctl", "-w", `${key}=80`];
  const dialog = (answer: () => Promise<void>) => withDialog(lab, () => lab.spawn("toolbox", pkexec), answer);

  const dismissed = await dialog(async () => {
    assert.match(await lab.desktop.read(await lab.desktop.screenshot()), /sysctl[\s\S]*Cancel Authenticate/);
    await lab.desktop.press("Escape");
  });
  assert.equal([(await dismissed.exited).status, await lab.threshold()], [126, 1024]);

  const wrong = await dialog(async () => {
    for (const text of ["wrong", "wronger", "wrongest"]) {
      if (text !== "wrong") await lab.desktop.asked();
      await lab.desktop.type(text);
      await lab.desktop.press("Return");
    }
  });
  assert.equal([(await wrong.exited).status, await lab.threshold()], [127, 1024]);

  const right = await dialog(async () => {
    await lab.desktop.type(lab.password);
    await lab.desktop.press("Return");
  });
  assert.equal([(await right.exited).status, await lab.threshold()], [0, 80]);
  await lab.setThreshold(1024);
});

test("calls to the host are counted", async () => {
  const calls = await lab.hostCalls();
  for (const more of [1, 2, 3]) {
    await lab.inToolbox([...toHost, "true"]);
    assert.is(await lab.hostCalls(), calls + more);
  }
});

test("statuses and signals come through, with what was written and nothing else", async () => {
  const run = async (where: Where, argv: string[], root = false) => (await lab.spawn(where, argv, { root })).exited;
  for (const where of everywhere) {
    for (const status of [0, 1, 69, 77, 125, 126, 127, 143]) {
      const result = await run(where, ["sh", "-c", `echo out; echo err >&2; exit ${status}`]);
      assert.equal(result, { status, signal: null, stdout: "out\n", stderr: "err\n" }, where);
    }
    const killed = { status: null, signal: "SIGTERM", stdout: "", stderr: "" };
    for (const root of [false, true]) assert.equal(await run(where, ["sh", "-c", "kill $$"], root), killed, where);
    assert.is((await run(where, ["no-such-program"])).status, 127, where);
  }
});

test("who, where, and with which environment", async () => {
  const env = { "my-flag": "a 'b'\n\"$c\" \\", "discovery.type": "ü", EMPTY: "", SHELL: undefined };
  const argv = [
    "perl",
    "-e",
    'print "$>\\n"; chomp(my $d = `pwd`); print "$d\\n"; print "$_=$ENV{$_}\\0" for sort keys %ENV',
  ];
  for (const where of everywhere) {
    for (const root of [false, true]) {
      const { stdout, stderr } = await (await lab.spawn(where, argv, { env, cwd: "/usr", root })).exited;
      const [uid, cwd, ...rest] = stdout.split("\n");
      const isRoot = where === "host" || (root && (where === "toolbox" || where === "distrobox"));
      assert.equal([stderr, Number(uid), cwd], ["", isRoot ? 0 : lab.uid, "/usr"], where);
      const variables = rest.join("\n").split("\0");
      for (const name of ["my-flag", "discovery.type", "EMPTY"] as const) {
        assert.ok(variables.includes(`${name}=${env[name]}`), `${where}: ${name}`);
      }
      const odd = variables.filter((variable) => /^(SHELL|INVOCATION_ID|JOURNAL_STREAM)=/.test(variable));
      assert.equal(odd, [], where);
    }
  }
});

test("input arrives complete", async () => {
  const input = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 256));
  for (const where of ["toolbox", "distrobox"] as const) {
    const run = where === "toolbox" ? lab.inToolbox : lab.inDistrobox;
    const { stdout } = await run(["sh", "-c", "wc -c; wc -c </dev/null"], { input });
    assert.equal(stdout.split(/\s+/).slice(0, 2), ["300000", "0"]);
    await lab.writeFile(where, "/etc/lab test/file", input, 0o600);
    assert.is((await run(["stat", "-c", "%a %s %u", "/etc/lab test/file"], { root: true })).stdout, "600 300000 0\n");
    await lab.removeFile(where, "/etc/lab test");
    assert.is((await run(["test", "-e", "/etc/lab test"])).status, 1);
  }
});

test("a command that takes too long is killed, and says what it wrote", async () => {
  for (const where of ["inToolbox", "inDistrobox", "asUser", "asHost"] as const) {
    const marker = `${where}.${process.pid}`;
    const message = await lab[where](["sh", "-c", `echo ${marker}; exec sleep 60`], { timeout: 1000 }).then(
      () => "in time",
      (error: Error) => error.message,
    );
    assert.match(message, "still running after 1000 ms");
    assert.match(message, marker);
  }
  assert.is((await lab.asHost(["pgrep", "-f", "^sleep 60$"])).status, 1);
});

test("a server in the toolbox answers the host, and has the pid that is said", async () => {
  const node = `/run/host${lab.nodes}/node26/bin/node`;
  const script = `
    const answer = (request, response) => response.writeHead(201).end(request.url);
    require("http").createServer(answer).listen(8080, () => console.log("pid", process.pid));
  `;
  const server = await lab.spawn("toolbox", [node, "-e", script]);
  assert.is((await server.waitFor(/pid (\d+)\n/))[1], `${server.pid}`);
  assert.equal(await lab.fetch(8080, "/path"), { status: 201, body: "/path" });
  assert.ok(await server.kill("SIGINT"));
  const { signal } = await server.exited;
  assert.is(signal, "SIGINT");
  assert.not(await server.kill());
});

test("portshim is installed, in the toolbox and the distrobox", async () => {
  await lab.polkit("YES");
  for (const where of ["toolbox", "distrobox"] as const) {
    await lab.setThreshold(1024);
    await lab.installShim({ where });
    const { exited } = await lab.spawn(where, ["portshim", "--start=80", "--", "sh", "-c", "echo started"]);
    const run = await exited;
    assert.equal([run.status, run.stdout, await lab.threshold()], [0, "started\n", 80], run.stderr);
  }
});

test("a reboot is real: another boot, 1024 again, nothing runs on, files and systemd-sysctl's settings stay", async () => {
  const bootId = async () => (await lab.asHost(["cat", "/proc/sys/kernel/random/boot_id"])).stdout;
  const [first, root] = [await bootId(), lab.root];
  await lab.setThreshold(79);
  await lab.writeFile("user", `/home/${lab.user}/kept`, "kept\n");
  await lab.writeFile("toolbox", "/etc/kept", "kept\n");
  await lab.writeFile("host", "/tmp/gone", "gone\n");
  const running = await lab.spawn("toolbox", ["sleep", "1000"]);
  await lab.reboot();
  assert.is.not(await bootId(), first);
  assert.is.not(lab.root, root);
  assert.is(await lab.threshold(), 1024);
  assert.is(await ended(running), "did not run");
  assert.is((await lab.asUser(["cat", "kept"])).stdout, "kept\n");
  assert.is((await lab.inToolbox(["cat", "/etc/kept"])).stdout, "kept\n");
  assert.is((await lab.asHost(["test", "-e", "/tmp/gone"])).status, 1);
  assert.equal(await lab.prompts(), []);

  await lab.writeFile("host", "/etc/sysctl.d/90-lab.conf", `${key}=80\n`);
  await lab.reboot();
  assert.is(await lab.threshold(), 80);
  assert.is((await lab.asHost(["systemctl", "is-system-running", "--wait"])).stdout, "running\n");
});

test("it leaves nothing when it is stopped", async () => {
  await lab.spawn("toolbox", ["sleep", "1000"]);
  await lab.spawn("user", ["setsid", "sleep", "1000"]);
  const { namespaces } = lab;
  assert.ok(inhabitants(namespaces) > 0);
  await lab.stop();
  assert.is(inhabitants(namespaces), 0);
  assert.equal(machine(), before);
});

test("it leaves nothing when the process that started it is killed", async () => {
  const script = `
    require(${JSON.stringify(join(__dirname, "lab.js"))}).startLab().then((lab) => console.log(lab.namespaces.join(" ")));
  `;
  const starter = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(starter.stdout, "data");
  const namespaces = String(line).trim().split(" ");
  assert.ok(inhabitants(namespaces) > 0);
  starter.kill("SIGKILL");
  const deadline = Date.now() + 10_000;
  while ((inhabitants(namespaces) > 0 || cgroups() !== before.cgroups) && Date.now() < deadline) await sleep(20);
  assert.is(inhabitants(namespaces), 0);
  assert.equal(machine(), before);
});

/** How a command ended whose lab was rebooted under it. */
async function ended({ exited }: Running): Promise<string> {
  return await exited.then(
    ({ status, signal }) => `${status ?? signal}`,
    (error: Error) => error.message.match(/did not run/)?.[0] ?? error.message,
  );
}

/** The labs that this machine has control groups of. */
function cgroups(): string {
  const top = readFileSync("/proc/self/mountinfo", "utf8").match(/^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 /m)?.[1];
  if (top === undefined) return "";
  const own = readFileSync("/proc/self/cgroup", "utf8").match(/^0::(.*)$/m)?.[1];
  return readdirSync(join(top, own ?? "/"))
    .filter((name) => name.startsWith("portshim-lab."))
    .join(" ");
}

/** How many of this machine's processes are in one of these namespaces. */
function inhabitants(namespaces: readonly string[]): number {
  const isIn = (pid: string) =>
    ["pid", "mnt", "net"].some((kind) => {
      try {
        return namespaces.includes(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        return false; // It ended in the meantime.
      }
    });
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isIn(name)).length;
}

test.run();
