import { machine } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { type Lab, startLab } from "./lab.js";
import { ASKED, answer, askedDuring, BASE } from "./start.js";

const test = suite("services", "lab", "nodes");

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  // Else a Quadlet unit of the user's waits for it.
  await lab.asHost(["systemctl", "start", "network-online.target"]);
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
  await lab.polkit("YES");
});

type Manager = "system" | "user";

/** systemctl(1), for root's manager or the user's. */
async function systemctl(manager: Manager, ...argv: string[]): Promise<string> {
  const run = manager === "system" ? lab.asHost : lab.asUser;
  const { status, stdout, stderr } = await run(["systemctl", `--${manager}`, ...argv]);
  assert.is(status, 0, stderr);
  return stdout;
}

const property = async (manager: Manager, unit: string, name: string) =>
  (await systemctl(manager, "show", "--value", "--property", name, unit)).trim();

/** Waits, for ten seconds at most, until a unit has a property that fits. */
async function becomes(manager: Manager, unit: string, name: string, fits: RegExp): Promise<void> {
  for (let tries = 0; ; tries++) {
    const value = await property(manager, unit, name);
    if (fits.test(value)) return;
    assert.ok(tries < 100, `${unit}: ${name} is ${value}`);
    await sleep(100);
  }
}

/** The journal of one of the user's units. */
async function said(unit: string): Promise<string> {
  const { status, stdout, stderr } = await lab.asUser([
    "journalctl",
    "--user",
    "--boot",
    "--output=cat",
    "--unit",
    unit,
  ]);
  assert.is(status, 0, stderr);
  return stdout;
}

/** What polkit was asked during `work`. */
const asked = (work: () => Promise<unknown>) => askedDuring(lab, work);

/** Creates a Quadlet unit for the user: the image's entrypoint is portshim, and systemd restarts it if it fails. */
async function quadlet(name: string, service: string): Promise<void> {
  const { nodes, repository, user } = lab;
  const unit = `[Unit]
StartLimitIntervalSec=0
[Container]
Image=${BASE}
Network=host
UserNS=keep-id
Volume=%t/bus:%t/bus
Environment=DBUS_SESSION_BUS_ADDRESS=unix:path=%t/bus
Volume=${repository}/shim/launcher/portshim-${machine()}:/usr/local/bin/portshim:ro
Volume=${repository}/shim/lib:/usr/local/lib/portshim:ro
Volume=${nodes}/node26/bin/node:/usr/local/bin/node:ro
Volume=${repository}/test/fixture:/srv:ro
Entrypoint=["portshim","--"]
Exec=node /srv/server.js
# Node as process 1 ignores TERM.
PodmanArgs=--stop-timeout=0
[Service]
Restart=on-failure
RestartSec=100ms
${service}
`;
  await lab.writeFile("host", `/home/${user}/.config/containers/systemd/${name}.container`, unit);
  await systemctl("user", "daemon-reload");
}

test("a Quadlet unit that restarts, the host's network, the user, with the bus, refused: one prompt, then stopped by its status", async () => {
  await quadlet("refused", "RestartPreventExitStatus=NOPERM");
  await lab.polkit("NO");
  const prompts = await asked(async () => {
    await systemctl("user", "start", "refused");
    await becomes("user", "refused", "ActiveState", /^failed$/);
    // A restart would have happened by now.
    await sleep(1000);
  });
  assert.equal(prompts, [ASKED]);
  const properties = ["ActiveState", "ExecMainStatus", "NRestarts"];
  const values = await Promise.all(properties.map((name) => property("user", "refused", name)));
  assert.equal(values, ["failed", "77", "0"]);
  assert.match(await said("refused"), "status=77/NOPERM");
  assert.match(await said("refused"), "RestartPreventExitStatus=NOPERM keeps a restart from asking again.");
});

test("the same without RestartPreventExitStatus: it asks again and again", async () => {
  await quadlet("nuisance", "");
  await lab.polkit("NO");
  const prompts = await asked(async () => {
    await systemctl("user", "start", "nuisance");
    await becomes("user", "nuisance", "NRestarts", /^[2-9]$/);
    await systemctl("user", "stop", "nuisance");
  });
  assert.ok(prompts.length >= 2, `${prompts}`);
});

test("a Quadlet unit that restarts, the host's network, the user, with the bus: pkexec", async () => {
  await quadlet("web", "RestartPreventExitStatus=NOPERM");
  const prompts = await asked(async () => {
    await systemctl("user", "start", "web");
    assert.is(await answer(lab, 80), "1 /\n");
  });
  assert.equal(prompts, [ASKED]);
  assert.match(await said("web"), "Done. Any user can now bind ports 80 and up, until the host reboots.");
  await systemctl("user", "stop", "web");
});

/** The lines of a [Service] that starts portshim, as npm links it, and by it a script of Node's. */
const started = (script: string) => `Environment=PATH=${lab.nodes}/node26/bin:/usr/sbin:/usr/bin
ExecStart=${lab.repository}/shim/portshim --start=80 -- node ${script}
`;

const FOLDERS: Record<Manager, string> = { system: "/etc/systemd/system", user: "/etc/systemd/user" };

test("a user service on the host, the host's network, an ordinary user: pkexec", async () => {
  await lab.writeFile(
    "host",
    `${FOLDERS.user}/server.service`,
    `[Service]\n${started(`${lab.repository}/test/fixture/server.js`)}`,
  );
  await systemctl("user", "daemon-reload");
  let body = "";
  const prompts = await asked(async () => {
    await systemctl("user", "start", "server");
    body = await answer(lab, 80);
  });
  assert.equal(prompts, [ASKED]);
  assert.is(body, `${await property("user", "server", "MainPID")} /\n`);
  assert.match(await said("server"), "Done. Any user can now bind ports 80 and up, until this machine reboots.");
  await systemctl("user", "stop", "server");
});

/** A server that gets its socket from systemd: sd_listen_fds(3). */
const ACTIVATED = `const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
require("node:http")
  .createServer((_, response) => response.end([process.pid, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES].join(" ")))
  .listen({ fd: 3 });
`;

for (const [name, manager, unit, port, user] of [
  [
    "a socket-activated service with User=, the host's network, an ordinary user: pkexec",
    "system",
    "activated",
    80,
    "User=ada",
  ],
  ["a socket-activated user service, the host's network, an ordinary user: pkexec", "user", "activated", 8080, ""],
] as const) {
  test(name, async () => {
    const path = `${FOLDERS[manager]}/${unit}`;
    const script = "/usr/local/lib/activated.js";
    await lab.writeFile("host", script, ACTIVATED);
    await lab.writeFile("host", `${path}.socket`, `[Socket]\nListenStream=${port}\nFileDescriptorName=web\n`);
    await lab.writeFile("host", `${path}.service`, `[Service]\n${user}\n${started(script)}`);
    await systemctl(manager, "daemon-reload");
    await systemctl(manager, "start", `${unit}.socket`);
    // The slow path, with Node and a prompt, and then the fast one: portshim becomes the server in both.
    for (const expected of [[ASKED], []]) {
      let body = "";
      const prompts = await asked(async () => {
        body = await answer(lab, port);
      });
      assert.equal(prompts, expected);
      const pid = await property(manager, unit, "MainPID");
      assert.is(body, `${pid} ${pid} 1 web`);
      await systemctl(manager, "stop", `${unit}.service`);
    }
    await systemctl(manager, "stop", `${unit}.socket`);
  });
}

test("firewalld keeps others out: check in a toolbox says so, asks nobody, and its command lets them in", async () => {
  // firewalld has polkit ask ordinary users about nearly everything, which would be a prompt of portshim's.
  const check = async () => {
    let stdout = "";
    const prompts = await asked(async () => {
      stdout = (await lab.inToolbox(["portshim", "check"])).stdout;
    });
    assert.equal(prompts, []);
    return stdout;
  };
  assert.not.match(await check(), "firewalld");
  await lab.asHost(["systemctl", "start", "firewalld"]);
  const firewall = await asked(() => lab.asUser(["firewall-cmd", "--list-all"]));
  assert.match(firewall.join(), "org.fedoraproject.FirewallD1.");
  const report = await check();
  const [, command = ""] =
    /\nThe host runs firewalld\. If it keeps others out, run this on the host:\n {4}(.*)\n$/.exec(report) ?? [];

  // Others: a machine at the other end of a cable.
  const cable = `ip netns add far && ip link add near type veth peer name far netns far && ip addr add 192.0.2.1/24 dev near &&
    ip link set near up && ip -n far addr add 192.0.2.2/24 dev far && ip -n far link set far up`;
  assert.is((await lab.asHost(["sh", "-c", cable])).status, 0);
  const server = await lab.spawn("host", [`${lab.nodes}/node26/bin/node`, `${lab.repository}/test/fixture/server.js`]);
  await server.waitFor(/serving on 80/);
  const knock = () =>
    lab.asHost(["ip", "netns", "exec", "far", "curl", "--silent", "--max-time", "5", "http://192.0.2.1/"]);
  assert.is((await knock()).stdout, "");
  assert.is((await lab.asHost(["sh", "-c", command])).status, 0, report);
  assert.is((await knock()).stdout, `${server.pid} /\n`);
  await server.kill();
  await lab.asHost(["systemctl", "stop", "firewalld"]);
  assert.not.match(await check(), "firewalld");
});

test.run();
