import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Lab, startLab } from "./lab.js";

const test = suite("lab");
const key = "net.ipv4.ip_unprivileged_port_start";
const flatpakSpawn = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
const toHost = [flatpakSpawn, "--host", "--directory=/", "--clear-env"];
const machine = () => readFileSync(`/proc/sys/${key.replaceAll(".", "/")}`, "utf8");

let lab: Lab;
let before: string;

test.before(async () => {
  before = machine();
  lab = await startLab();
});

test.after(async () => {
  await lab?.stop();
});

test("a fresh host starts at 1024", async () => {
  assert.is(await lab.threshold(), 1024);
});

test("the toolbox shares the host's network namespace, and that is not the machine's", async () => {
  const here = await lab.inToolbox(["readlink", "/proc/self/ns/net"]);
  const there = await lab.inToolbox([...toHost, "readlink", "/proc/self/ns/net"]);
  assert.is(here.status, 0, here.stderr);
  assert.is(here.stdout, there.stdout);
  assert.ok(lab.namespaces.includes(here.stdout.trim()));
  assert.is.not(here.stdout.trim(), readlinkSync("/proc/self/ns/net"));
});

test("nobody in the toolbox may set the value, root neither", async () => {
  const argv = ["sh", "-c", "echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start"];
  assert.match((await lab.inToolbox(argv)).stderr, /Permission denied/);
  assert.match((await lab.inToolbox(argv, { root: true })).stderr, /Permission denied/);
  assert.is((await lab.inToolbox(["sudo", ...argv])).status, 2);
  assert.is(await lab.threshold(), 1024);
});

test("polkit answers as it is told, and what it was asked is known", async () => {
  const pkexec = (value: number) => lab.inToolbox([...toHost, "pkexec", "/usr/sbin/sysctl", "-w", `${key}=${value}`]);
  const asked = (await lab.prompts()).length;
  await lab.polkit("YES");
  assert.is((await pkexec(80)).status, 0);
  assert.is(await lab.threshold(), 80);
  assert.equal((await lab.prompts()).slice(asked), [`/usr/sbin/sysctl -w ${key}=80`]);

  await lab.polkit("NO");
  const refused = await pkexec(70);
  assert.is(refused.status, 127);
  assert.match(refused.stderr, "Not authorized");
  assert.is(await lab.threshold(), 80);
  assert.is((await lab.prompts()).length, asked + 2);

  await lab.polkit("AUTH_ADMIN");
  assert.match((await pkexec(70)).stderr, "Error creating textual authentication agent");

  await lab.setThreshold(1024);
  assert.is(await lab.threshold(), 1024);
});

test("calls to the host are counted", async () => {
  const calls = await lab.hostCalls();
  for (const more of [1, 2, 3]) {
    await lab.inToolbox([...toHost, "true"]);
    assert.is(await lab.hostCalls(), calls + more);
  }
});

test("statuses and signals come through, with what was written and nothing else", async () => {
  for (const status of [0, 1, 69, 77, 125, 126, 127, 143]) {
    const result = await lab.inToolbox(["sh", "-c", `echo out; echo err >&2; exit ${status}`]);
    assert.equal(result, { status, signal: null, stdout: "out\n", stderr: "err\n" });
  }
  const killed = { status: null, signal: "SIGTERM", stdout: "", stderr: "" };
  const killItself = ["sh", "-c", "kill $$"];
  assert.equal(await lab.inToolbox(killItself), killed);
  assert.equal(await lab.inToolbox(killItself, { root: true }), killed);
  assert.equal(await lab.asUser(killItself), killed);
  assert.equal(await lab.asHost(killItself), killed);
  assert.is((await lab.inToolbox(["no-such-program"])).status, 127);
});

test("who, where, and with which environment", async () => {
  const env = { "my-flag": "a 'b'\n\"$c\" \\", "discovery.type": "ü", EMPTY: "", SHELL: undefined };
  const argv = [
    "perl",
    "-e",
    'print "$>\\n"; chomp(my $d = `pwd`); print "$d\\n"; print "$_=$ENV{$_}\\0" for sort keys %ENV',
  ];
  const runs = {
    toolbox: await lab.inToolbox(argv, { env, cwd: "/usr" }),
    "toolbox's root": await lab.inToolbox(argv, { env, cwd: "/usr", root: true }),
    user: await lab.asUser(argv, { env, cwd: "/usr" }),
    host: await lab.asHost(argv, { env, cwd: "/usr" }),
  };
  for (const [where, { stdout, stderr }] of Object.entries(runs)) {
    const [uid, cwd, ...rest] = stdout.split("\n");
    assert.is(stderr, "", where);
    assert.is(Number(uid), where === "host" || where === "toolbox's root" ? 0 : lab.uid, where);
    assert.is(cwd, "/usr", where);
    const variables = rest.join("\n").split("\0");
    for (const name of ["my-flag", "discovery.type", "EMPTY"] as const) {
      assert.ok(variables.includes(`${name}=${env[name]}`), `${where}: ${name}`);
    }
    assert.not(
      variables.some((variable) => variable.startsWith("SHELL=")),
      where,
    );
  }
});

test("input arrives whole", async () => {
  const input = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 256));
  const { stdout } = await lab.inToolbox(["sh", "-c", "wc -c; wc -c </dev/null"], { input });
  assert.equal(stdout.split(/\s+/).slice(0, 2), ["300000", "0"]);
  await lab.writeFile("toolbox", "/etc/lab test/file", input, 0o600);
  assert.is(
    (await lab.inToolbox(["stat", "-c", "%a %s %u", "/etc/lab test/file"], { root: true })).stdout,
    "600 300000 0\n",
  );
  await lab.removeFile("toolbox", "/etc/lab test");
  assert.is((await lab.inToolbox(["test", "-e", "/etc/lab test"])).status, 1);
});

test("a command that takes too long is killed, and says what it wrote", async () => {
  for (const where of ["inToolbox", "asUser", "asHost"] as const) {
    const marker = `${where}.${process.pid}`;
    const message = await lab[where](["sh", "-c", `echo ${marker}; exec sleep 60`], { timeout: 300 }).then(
      () => "in time",
      (error: Error) => error.message,
    );
    assert.match(message, "still running after 300 ms");
    assert.match(message, marker);
  }
  assert.is((await lab.asHost(["pgrep", "-f", "^sleep 60$"])).status, 1);
});

test("a server in the toolbox answers the host, and has the pid that is said", async () => {
  const node = `/run/host${lab.repository}/node_modules/node26/bin/node`;
  const script = `
    const answer = (request, response) => response.end(request.url);
    require("http").createServer(answer).listen(8080, () => console.log("pid", process.pid));
  `;
  const server = await lab.spawn("toolbox", [node, "-e", script]);
  assert.is((await server.waitFor(/pid (\d+)\n/))[1], `${server.pid}`);
  assert.equal(await lab.fetch(8080, "/path"), { status: 200, body: "/path" });
  assert.ok(await server.kill("SIGINT"));
  const { signal } = await server.exited;
  assert.is(signal, "SIGINT");
  assert.not(await server.kill());
});

test("it leaves nothing when it is stopped", async () => {
  await lab.spawn("toolbox", ["sleep", "1000"]);
  await lab.spawn("user", ["setsid", "sleep", "1000"]);
  assert.ok(inhabitants(lab.namespaces) > 0);
  await lab.stop();
  assert.is(inhabitants(lab.namespaces), 0);
  assert.is(machine(), before);
});

test("it leaves nothing when the one who started it is killed", async () => {
  const script = `
    require(${JSON.stringify(join(__dirname, "lab.js"))}).startLab().then((lab) => console.log(lab.namespaces.join(" ")));
  `;
  const starter = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(starter.stdout, "data");
  const namespaces = String(line).trim().split(" ");
  assert.ok(inhabitants(namespaces) > 0);
  starter.kill("SIGKILL");
  const deadline = Date.now() + 5_000;
  while (inhabitants(namespaces) > 0 && Date.now() < deadline) await sleep(20);
  assert.is(inhabitants(namespaces), 0);
  assert.is(machine(), before);
});

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
