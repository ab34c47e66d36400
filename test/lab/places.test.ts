import { machine } from "node:os";
import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { busOf, nodeOf } from "./container.js";
import { type Lab, type Result, startLab } from "./lab.js";
import {
  ANOTHER,
  assertStarted,
  BASE,
  FLATPAK_SPAWN,
  HOST_NETWORK,
  NAME,
  SEE,
  saveImages,
  shimAndFile,
  untouched as untouchedIn,
} from "./start.js";

const test = suite("every place and every route", "lab", "nodes");

const BY_HAND = `    sudo sysctl -w ${NAME}=80`;

let lab: Lab;
let shim: string[];
let node: string[];
let bus: string[];

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.polkit("YES");
  shim = await shimAndFile(lab);
  node = nodeOf(lab);
  bus = busOf(lab);
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
});

const rootless = (options: string[], argv: string[], timeout = 60_000): Promise<Result> =>
  lab.asUser(["podman", "run", "--rm", ...shim, ...node, ...options, BASE, ...argv], { timeout });

const untouched = <T>(run: () => Promise<T>) => untouchedIn(lab, run);

/** Who the container's user is: root (of the container), or the one who started it. */
const ROOT: string[] = [];
const HERSELF = ["--userns", "keep-id"];
const LOWERED =
  /\nportshim: Done. Any user can now bind ports 80 and up, until this container stops\. To make it permanent:\n {4}podman run --sysctl/;

test("rootless podman, own network, the user, with the bus: nsenter", async () => {
  assertStarted(await untouched(() => rootless([...HERSELF, ...bus], ["portshim", ...SEE])), 80, LOWERED);
});

test("rootless podman, own network, the user, without the bus: no way", async () => {
  const run = await untouched(() => rootless(HERSELF, ["portshim", ...SEE]));
  assert.equal([run.status, run.stdout], [69, ""]);
  const start = `Start it with this:\n    podman run --sysctl ${NAME}=80 …\n    (in a Quadlet file: Sysctl=${NAME}=80)\n`;
  assert.ok(run.stderr.endsWith(`${start}or, with --network host, run this on the host:\n${BY_HAND}\n`), run.stderr);
});

test("rootless podman, own network, root: capability", async () => {
  assertStarted(await untouched(() => rootless(ROOT, ["portshim", ...SEE])), 1024);
});

for (const [name, options, bounding] of [
  ["rootless podman, own network, root with --user: capability, the only one kept", [], "0000000000000400"],
  [
    "the same for a root without CAP_SETPCAP: the bounding set stays",
    ["--cap-drop=all", "--cap-add=setuid,setgid,net_bind_service"],
    "00000000000004c0",
  ],
] as const) {
  test(name, async () => {
    const check = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs)' /proc/self/status; exec node /srv/server.js";
    const command = ["portshim", "--user=1000:1000", "--", "/bin/sh", "-c", check];
    const container = ["--name", "dropped", ...options, ...shim, ...node, BASE];
    const running = await lab.spawn("user", ["podman", "run", "--rm", ...container, ...command]);
    await running.waitFor(/serving on 80/);
    const ask = 'fetch("http://127.0.0.1/x").then(async (a) => console.log(await a.text()))';
    const answer = await lab.asUser(["podman", "exec", "dropped", "node", "-e", ask]);
    assert.is(answer.stdout, "1 /x\n\n", answer.stderr);
    await lab.asUser(["podman", "rm", "--force", "--time", "0", "dropped"]);
    await running.exited;
    const status = running.stdout.replace(/[ \t]+/g, " ");
    assert.match(status, "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nGroups: \n");
    for (const set of ["Inh", "Prm", "Eff", "Amb"]) assert.match(status, `Cap${set}: 0000000000000400\n`);
    assert.match(status, `CapBnd: ${bounding}\nCapAmb`);
    assert.match(status, "NoNewPrivs: 1\n");
    assert.is(running.stderr, "");
  });
}

test("rootless podman, own network, an image's own user: no way", async () => {
  const run = await untouched(() => rootless(ANOTHER, ["portshim", ...SEE]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(run.stderr, `podman run --sysctl ${NAME}=80 …`);
});

test("an image's own user whose Node has a capability of its own: it is not the server's", async () => {
  const image = "localhost/setcap:1";
  const file = "/etc/setcap.containerfile";
  await lab.writeFile(
    "host",
    file,
    `FROM ${BASE}
COPY node /usr/local/bin/node
RUN setcap cap_net_bind_service=+ep /usr/local/bin/node
USER 1000
`,
  );
  const context = `${lab.nodes}/node26/bin`;
  const build = ["podman", "build", "--isolation=chroot", "--tag", image, "--file", file, context];
  const built = await lab.asUser(build, { timeout: 60_000 });
  assert.is(built.status, 0, built.stderr);
  const run = (...argv: string[]) =>
    untouched(() => lab.asUser(["podman", "run", "--rm", ...shim, image, ...argv], { timeout: 60_000 }));
  const listen = 'require("net").createServer().listen(80, () => { console.log("bound"); process.exit() })';
  const itself = await run("node", "-e", listen);
  assert.equal([itself.status, itself.stdout], [0, "bound\n"], itself.stderr);
  const bind = "use Socket; socket my $s, AF_INET, SOCK_STREAM, 0; bind $s, sockaddr_in(80, INADDR_ANY) or die $!";
  const another = await run("portshim", "--", "perl", "-e", bind);
  assert.equal([another.status, another.stdout], [69, ""], another.stderr);
  assert.match(another.stderr, `podman run --sysctl ${NAME}=80 …`);
});

test("rootless podman with --sysctl, own network, an image's own user: nothing to do, and no Node", async () => {
  const options = ["podman", "run", "--rm", ...shim, "--sysctl", `${NAME}=80`, ...ANOTHER, BASE];
  assertStarted(await untouched(() => lab.asUser([...options, "portshim", ...SEE])), 80);
});

test("rootless podman, the host's network, the user, with the bus: pkexec", async () => {
  const run = await rootless([...HOST_NETWORK, ...HERSELF, ...bus], ["portshim", ...SEE]);
  assertStarted(run, 80, /Running as root on the host[\s\S]*until the host reboots/);
  assert.is(await lab.threshold(), 80);
});

test("rootless podman, the host's network, the user, without the bus: no way", async () => {
  const run = await untouched(() => rootless([...HOST_NETWORK, ...HERSELF], ["portshim", ...SEE]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(
    run.stderr,
    "there is no session bus here; start the container from a login session, with its bus: -v $XDG_RUNTIME_DIR/bus",
  );
});

test("rootless podman, privileged, own network, root: write", async () => {
  // The host was not asked, whose network it could be.
  const lowered =
    /\nportshim: Done\. .* until this container stops, or with the host's network until the host reboots\. To make it permanent:\n {4}podman run --sysctl .*\nor, with --network host, run this on the host:\n/;
  assertStarted(await untouched(() => rootless(["--privileged"], ["portshim", ...SEE])), 80, lowered);
});

test("a pod's container, own network, the user, with the bus: nsenter", async () => {
  await lab.asUser(["podman", "pod", "create", "--name", "pod", ...HERSELF], { timeout: 60_000 });
  const run = await untouched(() => rootless(["--pod", "pod", ...bus], ["portshim", ...SEE]));
  await lab.asUser(["podman", "pod", "rm", "--force", "pod"]);
  assertStarted(run, 80, LOWERED);
});

/** Creates the real distrobox, which has no flatpak-spawn, on a host whose distrobox-host-exec leaves a trace. */
async function inDistrobox(argv: string[], env: Record<string, string> = {}): Promise<Result> {
  // The real one would download a program and install it as root.
  const trace = "#!/bin/sh\necho distrobox-host-exec was called >&2\nexit 1\n";
  await lab.writeFile("host", "/usr/bin/distrobox-host-exec", trace, 0o755);
  await lab.installShim({ where: "distrobox" });
  await lab.writeFile("distrobox", "/etc/sysctl.d/80-web.conf", `${NAME}=80\n`);
  const away = `test ! -e ${FLATPAK_SPAWN} || mv ${FLATPAK_SPAWN} /opt/spawn`;
  assert.is((await lab.inDistrobox(["sh", "-c", away], { root: true })).status, 0);
  return lab.inDistrobox(argv, { env });
}

test("a distrobox, the host's network, the user, without host-spawn and flatpak-spawn: no way, and what to install", async () => {
  const run = await untouched(() => inDistrobox(["portshim", "--verbose", ...SEE]));
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.match(run.stderr, "place: a distrobox (/usr/bin/distrobox-host-exec, mounted)\n");
  assert.match(
    run.stderr,
    "no flatpak-spawn or host-spawn here to reach the host; install one: package flatpak-spawn on Fedora",
  );
  const check = await untouched(() => inDistrobox(["portshim", "check"]));
  assert.equal([check.status, check.stderr], [2, ""]);
  assert.not.match(run.stderr + check.stdout, /host-exec was called/);
  assert.match((await inDistrobox(["distrobox-host-exec", "true"])).stderr, /host-exec was called/);
});

test("a distrobox, the host's network, the user, with host-spawn: pkexec", async () => {
  // A stand-in for host-spawn, which no Debian package has: it asks the same service by means of flatpak-spawn.
  const hostSpawn = '[ "$1" = --no-pty ] && shift && exec /opt/spawn --host --watch-bus "$@"';
  // On PATH, which need not be where distributions put it.
  await lab.writeFile("distrobox", "/opt/bin/host-spawn", `#!/bin/sh\n${hostSpawn}\n`, 0o755);
  const run = await inDistrobox(["portshim", "--verbose", ...SEE], { PATH: "/usr/local/bin:/usr/bin:/bin:/opt/bin" });
  assertStarted(run, 80, /place: a distrobox [\s\S]*bridge: \/opt\/bin\/host-spawn[\s\S]*as root on the host/);
});

test("a distrobox with its own systemd (--init), the host's network, the user, by sudo portshim too: pkexec", async () => {
  // The lab's images have none: it gets the host's files of it.
  const files = `mkdir /tmp/systemd && dpkg --listfiles systemd systemd-sysv libsystemd-shared libsystemd0 libpam-systemd \\
    dbus-user-session libseccomp2 libapparmor1 | while read -r f; do test -d "$f" || test ! -e "$f" || echo "$f"; done |
    tar --create --absolute-names --dereference --files-from - --file /tmp/systemd/files.tar`;
  assert.is((await lab.asHost(["sh", "-c", files])).status, 0);
  // Each machine has one, but systemd-nspawn does not make it here.
  await lab.asHost(["touch", "/dev/console"]);
  const image = "localhost/portshim-test/systemd:1";
  const build = `printf 'FROM localhost/portshim-lab/toolbox:1\\nADD files.tar /\\nRUN systemctl mask nginx\\n' |
    podman build --isolation=chroot --tag ${image} --file - /tmp/systemd &&
    distrobox create --yes --init --image ${image} --name init && distrobox enter --name init -- true`;
  const built = await lab.asUser(["sh", "-c", build], { timeout: 120_000 });
  assert.is(built.status, 0, built.stderr);

  const repository = `/run/host${lab.repository}`;
  const path = `PATH=/run/host${lab.nodes}/node26/bin:/usr/bin:/bin`;
  const portshim = [
    "env",
    path,
    `${repository}/shim/launcher/portshim-${machine()}`,
    "--start=80",
    "--verbose",
    ...SEE,
  ];
  for (const sudo of [[], ["sudo"]]) {
    await lab.setThreshold(1024);
    const run = await lab.asUser(["distrobox", "enter", "--name", "init", "--", ...sudo, ...portshim]);
    assertStarted(run, 80, /place: a distrobox with its own systemd [\s\S]*pkexec [^\n]*sysctl[\s\S]*the host reboots/);
  }
  await lab.asUser(["podman", "rm", "--force", "--time", "0", "init"]);
});

test("a flatpak's terminal, the host's network, the user: pkexec", async () => {
  const options = [...HOST_NETWORK, ...HERSELF, ...bus, "--volume", "/dev/null:/.flatpak-info:ro"];
  const run = await rootless(options, ["portshim", "--verbose", ...SEE]);
  assertStarted(run, 80, /place: a flatpak [\s\S]*as root on the host/);
});

test("a Kubernetes pod, unknown network, an image's own user: no way, and the field to set", async () => {
  const run = await untouched(() =>
    rootless([...ANOTHER, "--env", "KUBERNETES_SERVICE_HOST=10.0.0.1"], ["portshim", ...SEE]),
  );
  assert.is(run.status, 69);
  assert.match(run.stderr, `securityContext: {sysctls: [{name: ${NAME}, value: "80"}]}`);
});

const onHost = (argv: string[]) =>
  lab.asUser([`${lab.repository}/shim/portshim`, ...argv], {
    env: { PATH: `${lab.nodes}/node26/bin:/usr/sbin:/usr/bin` },
  });

test("the host itself, the host's network, an ordinary user: pkexec", async () => {
  const run = await onHost(["--start=80", "--verbose", ...SEE]);
  assertStarted(
    run,
    80,
    /place: the host itself [\s\S]*Running as root on this machine [\s\S]*until this machine reboots/,
  );
  assert.is(await lab.threshold(), 80);
});

test("an unknown place with a bridge, the host's network, an ordinary user: pkexec", async () => {
  // systemd's mark is hidden from it alone.
  const run = await lab.asHost([
    ...["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run/systemd && exec "$@"', "sh"],
    ...["setpriv", `--reuid=${lab.uid}`, `--regid=${lab.uid}`, "--init-groups", "env", "-i"],
    ...[`PATH=${lab.nodes}/node26/bin:/usr/sbin:/usr/bin`, `XDG_RUNTIME_DIR=/run/user/${lab.uid}`],
    ...[`DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/${lab.uid}/bus`, `${lab.repository}/shim/portshim`],
    ...["--start=80", "--verbose", ...SEE],
  ]);
  assertStarted(run, 80, /place: neither [\s\S]*Running as root on the host /);
});

test("the host itself, the host's network, root: write", async () => {
  const argv = [`${lab.repository}/shim/portshim`, "--start=80", ...SEE];
  const run = await lab.asHost(argv, { env: { PATH: `${lab.nodes}/node26/bin:/usr/sbin:/usr/bin` } });
  assertStarted(run, 80, /Done\. Any user can now bind ports 80 and up/);
});

for (const [name, argv] of [
  ["a toolbox, the host's network, nginx by the plain user: pkexec", ["portshim"]],
  ["a toolbox, the host's network, nginx by sudo portshim: pkexec", ["sudo", "portshim"]],
] as const) {
  test(name, async () => {
    // Files of its own: the ordinary user cannot write to nginx's folders, nor root open another's file in /tmp.
    const files = `/tmp/nginx-${argv[0]}`;
    const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (kind) => `${kind}_temp_path ${files}-${kind};`,
    );
    const config = `daemon off; pid ${files}.pid; error_log stderr; events {} http { access_log off; ${scratch.join(" ")}
      server { listen 80; return 200 hello; } }`;
    await lab.writeFile("toolbox", "/etc/nginx.conf", config);
    const prompts = (await lab.prompts()).length;
    const running = await lab.spawn("toolbox", [
      ...argv,
      "--start=80",
      "--",
      "/usr/sbin/nginx",
      "-c",
      "/etc/nginx.conf",
    ]);
    await running.waitFor(/Done. Any user can now bind ports 80 and up, until the host reboots/);
    assert.equal(await eventually(() => lab.fetch(80)), { status: 200, body: "hello" });
    assert.is((await lab.prompts()).length, prompts + 1);
    await lab.asHost(["pkill", "nginx"]);
    await running.exited;
  });
}

test("a toolbox, the host's network, the user with --via=sudo: sudo, if it asks for no password", async () => {
  const refused = await lab.inToolbox(["portshim", "--start=80", "--via=sudo", ...SEE]);
  assert.equal([refused.status, await lab.threshold()], [77, 1024]);
  assert.match(refused.stderr, /permission denied by the host: sudo: /);
  await lab.writeFile("host", "/etc/sudoers.d/test", `${lab.user} ALL=(root) NOPASSWD: /usr/sbin/sysctl\n`, 0o440);
  assertStarted(
    await lab.inToolbox(["portshim", "--start=80", "--via=sudo", ...SEE]),
    80,
    /\/usr\/bin\/sudo -n \/usr\/sbin\/sysctl/,
  );
  await lab.removeFile("host", "/etc/sudoers.d/test");
});

test("PORTSHIM_BRIDGE: another path to the host", async () => {
  const away = "/opt/bin/flatpak-spawn";
  const real = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
  await lab.inToolbox(["install", "-D", real, away], { root: true });
  const env = { PORTSHIM_BRIDGE: away };
  const run = await lab.inToolbox(["portshim", "--start=80", "--verbose", ...SEE], { env });
  assertStarted(run, 80, /bridge: \/opt\/bin\/flatpak-spawn, network namespace: hosts/);
});

test("podman run --init, and podman stop, are as with the bare server", async () => {
  for (const shimmed of [false, true]) {
    for (const init of [[], ["--init"]]) {
      const server = [...(shimmed ? ["portshim", "--start=1024", "--"] : []), "node", "/srv/server.js", "8080"];
      const running = await lab.spawn("user", [
        "podman",
        "run",
        "--rm",
        "--name",
        "stopped",
        ...init,
        ...shim,
        ...node,
        BASE,
        ...server,
      ]);
      await running.waitFor(/serving on 8080, pid (\d+)/);
      const pid = Number(/pid (\d+)/.exec(running.stdout)?.[1]);
      assert.is(pid, init.length > 0 ? 2 : 1);
      await lab.asUser(["podman", "kill", "--signal", "TERM", "stopped"]);
      // Node as pid 1 has no handler for TERM, with portshim or without: the kernel spares it.
      if (init.length === 0) await lab.asUser(["podman", "kill", "stopped"]);
      assert.is((await running.exited).status, init.length > 0 ? 143 : 137);
    }
  }
});

/** What root's podman makes of the options. */
async function rootful(options: string[], argv: string[]): Promise<Result> {
  if ((await lab.asHost(["podman", "image", "exists", BASE])).status !== 0) {
    const loaded = await lab.asHost(["podman", "load", "--input", await saveImages(lab, BASE)], { timeout: 60_000 });
    assert.is(loaded.status, 0, loaded.stderr);
  }
  return lab.asHost(["podman", ...options, ...argv], { timeout: 60_000 });
}

const RUN = ["run", "--rm", "--cgroups=disabled", "--ulimit", "host"];

test("rootful podman, the host's network, root: capability; an image's own user: no way", async () => {
  const run = (options: string[]) =>
    untouched(() =>
      rootful([...RUN, ...shim, ...node, ...HOST_NETWORK, ...options, BASE], ["portshim", "--verbose", ...SEE]),
    );
  assertStarted(await run([]), 1024, /place: a rootful podman container/);
  const another = await run(ANOTHER);
  assert.equal([another.status, another.stdout], [69, ""]);
  assert.match(another.stderr, `or, with --network host, run this on the host:\n${BY_HAND}\n`);
});

/** Runs portshim before a server of port 80 in a sandbox of gVisor's, which has a kernel of its own. */
const sandboxed = (options: string[], argv: string[] = []) => {
  const runsc = ["--runtime=runsc", "--runtime-flag=ignore-cgroups", "--runtime-flag=network=none"];
  const run = ["run", "--rm", "--network=none", "--ulimit", "host", ...shim, ...node, ...options, BASE];
  const see =
    'console.log("bound by", process.getuid(), fs.existsSync("/proc/sys/net/ipv4/ip_unprivileged_port_start"))';
  const server = `net.createServer().listen(80, () => { ${see}; process.exit() })`;
  return untouched(() => rootful([...runsc, ...run], ["portshim", ...argv, "--", "node", "-e", server]));
};

test("a gVisor sandbox, own network, an image's own user: nothing to do", async () => {
  const run = await sandboxed(ANOTHER);
  assert.equal([run.status, run.stdout, run.stderr], [0, "bound by 1000 false\n", ""]);
});

test("a gVisor sandbox, own network, root: nothing to do", async () => {
  const run = await sandboxed([]);
  assert.equal([run.status, run.stdout, run.stderr], [0, "bound by 0 false\n", ""]);
});

test("a gVisor sandbox, own network, root with --user: nothing to do, and no capability kept", async () => {
  const run = await sandboxed([], ["--user=1000"]);
  assert.equal([run.status, run.stdout, run.stderr], [0, "bound by 1000 false\n", ""]);
});

async function eventually<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 50; ; tries--) {
    try {
      return await look();
    } catch (error) {
      if (tries === 0) throw error;
    }
  }
}

test.run();
