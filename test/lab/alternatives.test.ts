import { setTimeout as sleep } from "node:timers/promises";
import * as assert from "uvu/assert";
import { type Block, blocks, headings, page } from "../page.js";
import { suite } from "../suite.js";
import { FAR, layCable, NEAR } from "./cable.js";
import { type Lab, type Result, startLab } from "./lab.js";
import { BASE, NAME } from "./start.js";

const test = suite("docs/alternatives.md", "lab", "nodes");

const PAGE = page("alternatives.md");
const BLOCKS = blocks(PAGE);
const WEB = "localhost/web:1";

const run = new Set<Block>();
const sections = new Set<string>();

/** The block of a section that goes into this file, or that begins so. */
type Take = (fileOrBeginning: string) => string;

/** A test of a section of the page, by its heading. */
function section(heading: string, work: (take: Take) => Promise<void>): void {
  sections.add(heading);
  test(heading, () =>
    work((what) => {
      const found = BLOCKS.filter(({ section, file }) => section === heading && file === what);
      const begun = BLOCKS.filter(({ section, text }) => section === heading && text.startsWith(what));
      const [block, another] = found.length > 0 ? found : begun;
      if (block === undefined || another !== undefined) throw new Error(`${heading}: not one block "${what}"`);
      run.add(block);
      return block.text;
    }),
  );
}

let lab: Lab;
let web: string;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  // What the page takes for granted: a program, a server that is given its socket or binds, its user, its image.
  const [listen] = BLOCKS.filter(({ text }) => text.startsWith("server.listen("));
  const server = `process.on("SIGTERM", () => process.exit());
const server = require("node:http").createServer((_, response) => response.end(String(process.getuid())));
server.on("error", (error) => { console.error(error.message); process.exit(1); });
${listen?.text.replace("80", "process.env.PORT ?? 80")}`;
  await lab.writeFile("host", "/srv/server.js", server);
  await host(`ln -s ${lab.nodes}/node26/bin/node /usr/bin/node; useradd --system --user-group web`);
  web = (await host("id -u web")).trim();
  await user(`cp /srv/server.js . && podman build --quiet --tag ${WEB} --volume ${lab.nodes}/node26/bin:/host:ro --file - . <<END
FROM ${BASE}
RUN cp /host/node /usr/bin/node
COPY server.js /srv/
USER 1000
CMD ["/usr/bin/node", "/srv/server.js"]
END`);
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));

const must = (script: string) => (result: Result) => {
  assert.is(result.status, 0, `${script}: ${result.stdout}${result.stderr}`);
  return result.stdout;
};
/** Runs a script, which must succeed, as root on the host. */
const host = (script: string) => lab.asHost(["bash", "-ec", script], { timeout: 60_000 }).then(must(script));
/** Runs a script, which must succeed, as the ordinary user on the host. */
const user = (script: string, env = {}) =>
  // In namespaces of its own, as elsewhere in the lab, a build's own are not allowed.
  lab
    .asUser(["bash", "-ec", script], { timeout: 60_000, env: { BUILDAH_ISOLATION: "chroot", ...env } })
    .then(must(script));

/** Waits, for ten seconds at most, for what a server answers: by its user's id. `command` gets there. */
async function answers(expected: string, url = "http://127.0.0.1", ...command: string[]): Promise<void> {
  for (let tries = 0; ; tries++) {
    const argv = [...command, "curl", "--silent", "--globoff", "--max-time", "2", url];
    const { stdout } = await lab.asHost(argv);
    if (stdout === expected) return;
    assert.ok(tries < 100, `${argv.join(" ")}: ${stdout}`);
    await sleep(100);
  }
}

const BIND = `
import socket, sys, errno
for port in sys.argv[1:]:
  try: socket.socket(socket.AF_INET6).bind(("::", int(port))); print("yes")
  except OSError as error: print(errno.errorcode[error.errno])
`;

/** Whether the ordinary user can bind ports: "yes", or the error's name. */
async function binds(...ports: number[]): Promise<string[]> {
  const { stdout } = await lab.asUser(["python3", "-c", BIND, ...ports.map(String)]);
  return stdout.trim().split("\n");
}

const asWeb = ["setpriv", "--reuid=web", "--regid=web", "--init-groups"];
const refused = /listen EACCES: permission denied (0\.0\.0\.0|::):80\n/;

async function reboot(): Promise<void> {
  // systemd would wait five seconds for what runs in them.
  await user("podman stop --all --time 0");
  await lab.reboot();
}

section("A file in sysctl.d", async (take) => {
  assert.equal(await binds(79, 80, 443), ["EACCES", "EACCES", "EACCES"]);
  await lab.writeFile("host", "/etc/sysctl.d/80-web.conf", take("/etc/sysctl.d/80-web.conf"));
  await host(take("sudo systemctl restart"));
  assert.equal(await binds(79, 80, 443), ["EACCES", "yes", "yes"]);
  await reboot();
  assert.is(await lab.threshold(), 80);
  await lab.removeFile("host", "/etc/sysctl.d/80-web.conf");
});

section("Butane and Ignition", async (take) => {
  const json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
  const butane = JSON.parse((await lab.asHost(["python3", "-c", json], { input: take("web.bu") })).stdout);
  const ignition = JSON.parse(take("web.ign"));
  // https://coreos.github.io/butane/specs/ pairs these.
  assert.equal([butane.variant, butane.version, ignition.ignition], ["fcos", "1.5.0", { version: "3.4.0" }]);
  const [file] = ignition.storage.files;
  const content = await (await fetch(file.contents.source)).text();
  assert.equal(butane.storage.files, [{ ...file, contents: { inline: content } }]);
  await assertApplied(file.path, content, file.mode);
});

/** Asserts that the host's systemd-sysctl, with this file there, sets the threshold to 80. */
async function assertApplied(path: string, content: string, mode?: number): Promise<void> {
  await lab.writeFile("host", path, content, mode);
  await host("systemctl restart systemd-sysctl");
  assert.is(await lab.threshold(), 80);
  await lab.removeFile("host", path);
}

section("bootc", async (take) => {
  // Stands in for Fedora's, which would have to be pulled: what is built on it is one file.
  const base = /^FROM (\S+)/.exec(take("Containerfile"))?.[1];
  await lab.writeFile("user", `/home/${lab.user}/bootc/Containerfile`, take("Containerfile"));
  await user(
    `printf 'FROM ${BASE}\\nRUN mkdir -p /usr/lib/sysctl.d\\n' | podman build --quiet --tag ${base} -; cd bootc; ${take("podman build")}`,
  );
  const file = "/usr/lib/sysctl.d/80-web.conf";
  await assertApplied(file, await user(`podman run --rm localhost/host:1 cat ${file}`));
});

section("podman --sysctl", async (take) => {
  const bare = await lab.asUser(["podman", "run", "--rm", WEB]);
  assert.match(bare.stderr, refused);
  await user(take("podman run"));
  await answers("1000", "http://127.0.0.1:8080");
  await user("podman stop web");
  assert.is(await lab.threshold(), 1024);
  const shared = await lab.asUser(["podman", "run", "--rm", "--network=host", "--sysctl", `${NAME}=80`, WEB]);
  assert.is(shared.status, 125);
  assert.match(shared.stderr, NAME);
});

section("Kubernetes", async (take) => {
  await lab.writeFile("user", `/home/${lab.user}/web.yaml`, take("web.yaml"));
  await user(take("podman kube play"));
  await answers("1000", "http://127.0.0.1:8080");
  await user("podman kube down web.yaml");
});

section("Quadlet", async (take) => {
  const file = ".config/containers/systemd/web.container";
  await lab.writeFile("user", `/home/${lab.user}/${file}`, take(`~/${file}`));
  for (const boot of [1, 2]) {
    // Else a Quadlet unit of the user's waits for it.
    await host("systemctl start network-online.target");
    if (boot === 1) await user(take("systemctl --user daemon-reload"));
    await answers("1000", "http://127.0.0.1:8080");
    if (boot === 1) await reboot();
  }
  await user(`systemctl --user stop web; rm ${file}; systemctl --user daemon-reload`);
});

/** Waits, for ten seconds at most, until nothing listens on the port. */
async function isFree(port: number): Promise<void> {
  await host(`for i in {1..100}; do ss -Hltn 'sport = :${port}' | grep -q . || exit 0; sleep 0.1; done; exit 1`);
}

section("AmbientCapabilities", async (take) => {
  const unit = "/etc/systemd/system/web.service";
  await lab.writeFile("host", unit, take(unit));
  await host(take("sudo systemctl enable"));
  for (const boot of [1, 2]) {
    await answers(web);
    if (boot === 1) await reboot();
  }
  assert.equal([await lab.threshold(), ...(await binds(80, 81))], [1024, "EACCES", "EACCES"]);
  const pid = (await host("systemctl show --value --property MainPID web")).trim();
  // CAP_NET_BIND_SERVICE alone.
  assert.match(await host(`cat /proc/${pid}/status`), /^CapEff:\t0{13}400\nCapBnd:\t0{13}400$/m);
  await host(`systemctl disable --now web; rm ${unit}`);
  await isFree(80);

  // "Not for a user's services".
  const service = take(unit).replace("User=web\n", "");
  await lab.writeFile("user", `/home/${lab.user}/.config/systemd/user/web.service`, service);
  await user("systemctl --user daemon-reload; systemctl --user start web || true");
  await user("for i in {1..50}; do systemctl --user is-failed --quiet web && exit; sleep 0.1; done; exit 1");
  await user("rm .config/systemd/user/web.service; systemctl --user daemon-reload");
});

section("Socket activation", async (take) => {
  const folder = "/etc/systemd/system";
  for (const name of ["web.socket", "web.service"]) {
    await lab.writeFile("host", `${folder}/${name}`, take(`${folder}/${name}`));
  }
  take("server.listen("); // It is in the server that before() wrote.
  await host(take("sudo systemctl enable"));
  for (const boot of [1, 2]) {
    await answers(web);
    if (boot === 1) await reboot();
  }
  // While the server is down nobody else gets the port, even if any user can bind it, and who comes waits for it.
  await lab.setThreshold(80);
  await host("systemctl stop web.service");
  assert.equal(await binds(80), ["EADDRINUSE"]);
  await answers(web);
  await host(`systemctl disable --now web.socket; systemctl stop web; rm ${folder}/web.*; systemctl daemon-reload`);
});

section("By a proxy", async (take) => {
  const folder = "/etc/systemd/system";
  for (const name of ["web-proxy.socket", "web-proxy.service"]) {
    await lab.writeFile("host", `${folder}/${name}`, take(`${folder}/${name}`));
  }
  await host(take("sudo systemctl enable"));
  for (const where of ["toolbox", "user"] as const) {
    const stop = await serve(where);
    await answers(`${lab.uid}`);
    await stop();
    if (where === "toolbox") await reboot();
  }
  // To a socket of the user's own.
  const service = `${folder}/web-proxy.service`;
  const socket = `/run/user/${lab.uid}/web.sock`;
  const text = take(service).replace("127.0.0.1:8080", socket).replace("DynamicUser=yes", `User=${lab.user}`);
  await lab.writeFile("host", service, text);
  await host("systemctl daemon-reload; systemctl stop web-proxy");
  const server = await lab.spawn("toolbox", ["node", "/run/host/srv/server.js"], { env: { PORT: socket } });
  await answers(`${lab.uid}`);
  assert.match((await lab.asHost([...asWeb, "ls", socket])).stderr, "Permission denied");
  await server.kill();
  await server.exited;
  await host(`systemctl disable --now web-proxy.socket; systemctl stop web-proxy; rm ${folder}/web-proxy.*`);
});

/** Starts the server as the ordinary user, on port 8080; returns what stops it. */
async function serve(where: "toolbox" | "user"): Promise<() => Promise<void>> {
  const script = where === "toolbox" ? "/run/host/srv/server.js" : "/srv/server.js";
  const server = await lab.spawn(where, ["node", script], { env: { PORT: "8080" } });
  await answers(`${lab.uid}`, "http://127.0.0.1:8080");
  return async () => {
    await server.kill();
    await server.exited;
  };
}

section("setcap", async (take) => {
  const program = "/usr/local/bin/node-web";
  await host(take("sudo install"));
  const server = await lab.spawn("host", [...asWeb, program, "/srv/server.js"]);
  await answers(web);
  await server.kill();
  await server.exited;
  // Nobody else can run it; under no_new_privs it does nothing; it goes with an update.
  assert.is((await lab.asUser([program, "--version"])).status, 126);
  const careful = await lab.asHost([...asWeb, "setpriv", "--no-new-privs", program, "/srv/server.js"]);
  assert.match(careful.stderr, refused);
  assert.match(await host(`getcap ${program}`), "cap_net_bind_service=ep");
  assert.is(await host(`install -m 750 -g web /usr/bin/node ${program}; getcap ${program}; rm ${program}`), "");
  // A toolbox's root can give the capability, and it does not count.
  const copy = "cp -L /usr/local/bin/node /tmp/node-web && setcap cap_net_bind_service=+ep /tmp/node-web";
  const given = await lab.inToolbox(["sh", "-c", copy], { root: true });
  assert.is(given.status, 0, given.stderr);
  assert.match((await lab.inToolbox(["/tmp/node-web", "/run/host/srv/server.js"])).stderr, refused);
});

section("authbind", async (take) => {
  await host(take("sudo install"));
  const command = take("authbind --deep").trim();
  const server = await lab.spawn("host", [...asWeb, ...command.split(" ")]);
  await answers(web);
  await server.kill();
  await server.exited;
  // Nobody else, no other port, no program that is static, none under no_new_privs.
  assert.match((await lab.asUser(command.split(" "))).stderr, refused);
  const other = await lab.asHost([...asWeb, ...command.split(" ")], { env: { PORT: "81" } });
  assert.match(other.stderr, /listen EPERM: operation not permitted .*:81\n/);
  const careful = await lab.asHost([...asWeb, "setpriv", "--no-new-privs", ...command.split(" ")]);
  assert.match(careful.stderr, refused);
  await lab.writeFile(
    "host",
    "/tmp/busybox",
    Buffer.from(await user(`podman run --rm ${BASE} base64 /bin/busybox`), "base64"),
    0o755,
  );
  const busybox = await lab.asHost([...asWeb, "authbind", "--deep", "/tmp/busybox", "httpd", "-f"], { cwd: "/" });
  assert.match(busybox.stderr, "bind: Permission denied");
  // Nor in a toolbox: its helper, set-user-ID root of the toolbox, has no say in the host's network.
  const there = `cp /run/host/usr/bin/authbind /usr/bin; cp -r /run/host/usr/lib/authbind /usr/lib; chmod u+s /usr/lib/authbind/helper
mkdir -p /etc/authbind/byport; install -m 500 -o ${lab.user} /dev/null /etc/authbind/byport/80`;
  const installed = await lab.inToolbox(["sh", "-ec", there], { root: true });
  assert.is(installed.status, 0, installed.stderr);
  const toolbox = await lab.inToolbox(["authbind", "--deep", "node", "/run/host/srv/server.js"]);
  assert.match(toolbox.stderr, refused);
});

/** Lays a cable to another machine, and has the host route from there to a third, `farther`, which is 198.51.100.2. */
async function cable(): Promise<void> {
  await layCable(lab);
  await host(`sysctl --quiet -w net.ipv4.ip_forward=1
ip netns add farther; ip link add to-farther type veth peer name eth0 netns farther
ip addr add 198.51.100.1/24 dev to-farther; ip link set to-farther up
ip -n farther addr add 198.51.100.2/24 dev eth0; ip -n farther link set eth0 up; ip -n farther link set lo up
ip -n farther route add default via 198.51.100.1
ip -n far route add default via ${NEAR.ipv4}`);
}

/** Asserts that what comes to port 80, from outside and from here, reaches a server of the user's; and nothing else. */
async function assertRedirected(where: "toolbox" | "user"): Promise<void> {
  await cable();
  const stop = await serve(where);
  const other = await lab.spawn("host", ["ip", "netns", "exec", "farther", "node", "/srv/server.js"]);
  const id = `${lab.uid}`;
  await answers(id);
  await answers(id, "http://[::1]");
  await answers(id, `http://${NEAR.ipv4}`);
  await answers(id, `http://${NEAR.ipv4}`, ...FAR.namespace);
  await answers(id, `http://[${NEAR.ipv6}]`, ...FAR.namespace);
  // What the machine merely routes: root's server on the third machine.
  await answers("0", "http://198.51.100.2", ...FAR.namespace);
  assert.is(await lab.threshold(), 1024);
  await other.kill();
  await stop();
  await host("ip netns del far; ip netns del farther");
}

section("nftables redirect", async (take) => {
  const files = ["/etc/nftables-web.nft", "/etc/systemd/system/web-redirect.service"];
  for (const file of files) await lab.writeFile("host", file, take(file));
  await host(take("sudo systemctl enable"));
  // Loading it again is no error, and doubles nothing.
  const table = "nft list table inet web";
  assert.is(await host(`${table} >/tmp/once; nft -f /etc/nftables-web.nft; ${table} | diff /tmp/once -`), "");
  await assertRedirected("toolbox");
  await reboot();
  await assertRedirected("user");
  await host(`systemctl disable --now web-redirect; ! nft list table inet web; rm ${files.join(" ")}`);
});

section("iptables REDIRECT", async (take) => {
  await host(take("for iptables"));
  await assertRedirected("user");
  await host("iptables -t nat -F; ip6tables -t nat -F");
});

/** Installs a rule of polkit's, or takes it away, and waits until polkitd knows. */
async function polkitRule(file: string, text?: string): Promise<void> {
  if (text === undefined) await lab.removeFile("host", file);
  else await lab.writeFile("host", file, text);
  await lab.polkit("NOT_HANDLED");
}

const RULE = "/etc/polkit-1/rules.d/80-ports.rules";

section("A polkit rule", async (take) => {
  await polkitRule(RULE, take(RULE));
  const pkexec = take("pkexec").trim().split(" ");
  const asked = async (argv: readonly string[]) => {
    await lab.setThreshold(1024);
    const { status } = await lab.asUser(argv);
    return [status, await lab.threshold()];
  };
  // Not yet of the group.
  assert.equal(await asked(pkexec), [127, 1024]);
  assert.is((await lab.asHost(["bash", "-ec", take("sudo groupadd")], { env: { USER: lab.user } })).status, 0);
  assert.equal(await asked(pkexec), [0, 80]);
  for (const command of [
    `/usr/sbin/sysctl -w ${NAME}=81`,
    `/usr/sbin/sysctl -w ${NAME}=0`,
    `/usr/sbin/sysctl -w ${NAME}=80 kernel.panic=1`,
    `/usr/sbin/sysctl -w kernel.panic=80`,
    `/usr/sbin/sysctl ${NAME}=80`,
    `/sbin/sysctl -w ${NAME}=80`,
    `/usr/sbin/../sbin/sysctl -w ${NAME}=80`,
    `--user ${lab.user} /usr/sbin/sysctl -w ${NAME}=80`,
  ]) {
    assert.equal(await asked(["pkexec", ...command.split(" ")]), [127, 1024], command);
  }
  // The rule cannot tell that these two words are one now, in whose letters sysctl could find the option -p: a file to read.
  await user(`mkdir trick; echo kernel.domainname=tricked >trick/v4.ip_unprivileged_port_start=80`);
  await lab.setThreshold(1024);
  const trick = ["pkexec", "--keep-cwd", "/usr/sbin/sysctl", `-w ${NAME}=80`];
  assert.match((await lab.asUser(trick, { cwd: `/home/${lab.user}/trick` })).stderr, "invalid option -- ' '");
  assert.equal([await host("cat /proc/sys/kernel/domainname"), await lab.threshold()], ["(none)\n", 1024]);
  // After a reboot the rule is there and the value is not; portshim in a toolbox asks for no password.
  await reboot();
  assert.is(await lab.threshold(), 1024);
  const portshim = await lab.inToolbox(["portshim", "--", "true"]);
  assert.equal([portshim.status, await lab.threshold()], [0, 80], portshim.stderr);
  assert.match(portshim.stderr, `    /usr/bin/${take("pkexec")}`);
  await polkitRule(RULE);
  assert.equal(await asked(pkexec), [127, 1024]);
});

section("A unit and a polkit rule", async (take) => {
  const unit = "/etc/systemd/system/port-80.service";
  // "The group is made as above".
  await lab.writeFile("host", unit, take(unit));
  await host("systemctl daemon-reload");
  await polkitRule(RULE, take(RULE));
  assert.equal([await user(take("systemctl start")), await lab.threshold()], ["", 80]);
  await lab.setThreshold(1024);
  const bridge = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
  const [, words = ""] = /`flatpak-spawn (--host [^`]+)`/.exec(PAGE.replace(/\s+/g, " ")) ?? [];
  const bridged = await lab.inToolbox([bridge, ...words.split(" ")]);
  assert.is(bridged.status, 0, bridged.stderr);
  assert.is(await lab.threshold(), 80);
  const transient = ["systemd-run", "--no-ask-password", "--unit=port-80", "touch", "/root/owned"];
  for (const refused of [
    ["systemctl", "--no-ask-password", "stop", "port-80"],
    ["systemctl", "--no-ask-password", "start", "docker"],
    ["systemd-run", "--no-ask-password", "touch", "/root/owned"],
    transient,
  ]) {
    assert.is.not((await lab.asUser(refused)).status, 0, refused.join(" "));
  }
  // "Not without the unit".
  await host(`rm ${unit}; systemctl daemon-reload; systemctl reset-failed; test ! -e /root/owned`);
  await user(transient.join(" "));
  await host("for i in {1..50}; do [ ! -e /root/owned ] || exit 0; sleep 0.1; done; exit 1");
  await polkitRule(RULE);
});

section("GitHub Actions", async (take) => {
  const json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
  const workflow = JSON.parse(
    (await lab.asHost(["python3", "-c", json], { input: take(".github/workflows/test.yaml") })).stdout,
  );
  const steps: { uses?: string; run?: string }[] = workflow.jobs.test.steps;
  assert.equal(
    steps.map(({ uses, run }) => uses ?? run),
    ["actions/checkout@v4", `sudo sysctl -w ${NAME}=80`, "npm test"],
  );
  await lab.writeFile("host", "/etc/sudoers.d/runner", `${lab.user} ALL=(ALL) NOPASSWD: ALL\n`, 0o440);
  await user(`${steps[1]?.run}`);
  assert.equal(await binds(80, 443), ["yes", "yes"]);
  await lab.removeFile("host", "/etc/sudoers.d/runner");
});

// Last, because pasta may fail after docker has run.
section("compose", async (take) => {
  await lab.writeFile("user", `/home/${lab.user}/compose.yaml`, take("compose.yaml"));
  const up = "docker-compose up --detach --no-color 2>&1 && docker-compose ps --format '{{.Names}}'";
  const down = "docker-compose down --timeout 0 2>&1";
  const socket = `/run/user/${lab.uid}/podman/podman.sock`;
  await user("systemctl --user start podman.socket");
  await user(up, { DOCKER_HOST: `unix://${socket}` });
  await answers("1000", "http://127.0.0.1:8080");
  await user(down, { DOCKER_HOST: `unix://${socket}` });

  await user(`podman save --quiet --output /tmp/web.tar ${WEB}`);
  await host("systemctl start docker; docker load --quiet --input /tmp/web.tar");
  await host(`cd /home/${lab.user}; ${up}`);
  await answers("1000", "http://127.0.0.1:8080");
  const value = await host(
    `cd /home/${lab.user}; docker-compose exec -T web cat /proc/sys/net/ipv4/ip_unprivileged_port_start`,
  );
  assert.is(value, "80\n");
  await host(`cd /home/${lab.user}; ${down}`);
});

test("every section and every block of the page was run, but FreeBSD's", () => {
  const untried = "FreeBSD";
  assert.equal(
    headings(PAGE).filter((heading) => !sections.has(heading)),
    [untried],
  );
  assert.equal(
    BLOCKS.filter((block) => !run.has(block) && block.section !== untried),
    [],
  );
});

test("the table has a row for each section, and each link leads to one", () => {
  const anchors = [...PAGE.matchAll(/^\| \[[^\]]+\]\(#([^)]+)\) \|/gm)].map(([, anchor]) => anchor);
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\w -]/g, "")
      .replaceAll(" ", "-");
  assert.equal(
    anchors,
    headings(PAGE)
      .filter((heading) => heading !== "By a proxy")
      .map(anchor),
  );
});

test.run();
