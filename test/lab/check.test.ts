import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import * as assert from "uvu/assert";
import { VERSION } from "../../shim/lib/cli/version.js";
import type { Findings } from "../../shim/lib/report/check.js";
import { ROOT } from "../need.js";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { CONTAINERS_PORTSHIM, withPortshim } from "./container.js";
import { type Lab, type Result, type RunOptions, startLab } from "./lab.js";
import { BASE, NAME } from "./start.js";

const test = suite("portshim check", "lab", "nodes");

/** A terminal's escape sequence for colours. */
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, "g");
const FILE = `/proc/sys/${NAME.replaceAll(".", "/")}`;
const BRIDGE = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";

const isValid = new Ajv2020().compile(JSON.parse(readFileSync(join(ROOT, "docs", "check.schema.json"), "utf8")));

let lab: Lab;
let hostsEnv: Record<string, string>;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", `# the web's\n${NAME}=80\n`);
  hostsEnv = { PATH: `${lab.nodes}/node26/bin:/usr/sbin:/usr/bin:/sbin:/bin` };
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.setThreshold(1024);
});

/** Runs check in the toolbox, and asserts that it changed nothing and asked nobody. */
async function check(argv: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
  const before = [await lab.threshold(), (await lab.prompts()).length];
  const run = await lab.inToolbox(["portshim", "check", ...argv], options);
  assert.equal([await lab.threshold(), (await lab.prompts()).length], before);
  assert.is(run.stderr, "");
  return run;
}

/** What a run with --json printed, validated by the documented schema. */
function findings({ stdout, stderr }: Result): Findings {
  assert.is(stderr, "");
  const found = JSON.parse(stdout);
  assert.ok(isValid(found), JSON.stringify(isValid.errors));
  return found as Findings;
}

const ROUTES = `
  ✗ write       cannot write ${FILE}
  ✗ capability  the server cannot bind the port as it is
  ✗ nsenter     only for a container with its own network
  ✓ pkexec      the host can be asked through flatpak-spawn
  ✗ run0        only if the host has no pkexec, or with --via=run0
  ✗ sudo        only with --via=sudo
`;

test("something to do, and a way: the report, and status 1", async () => {
  const run = await check();
  assert.is(
    run.stdout,
    `  place         toolbox (/run/.toolboxenv)
  network       the host's
  host          asked through ${BRIDGE}
  threshold     1024, the kernel's default: any user can bind ports 1024 and up
  on the host   the same value, which also decides which ports can be published (-p) without root
  wanted        80, asked for by /etc/sysctl.d/80-web.conf:2
${ROUTES}
portshim -- COMMAND would run this as root on the host:
    /usr/bin/pkexec /usr/sbin/sysctl -w ${NAME}=80
Then ports 80 and up can be bound until the host reboots.
To make it permanent:
    portshim persist
`,
  );
  assert.is(run.status, 1);
});

test("nothing to do: status 0, until the host reboots or kept by a file", async () => {
  await lab.setThreshold(80);
  const run = await check();
  assert.is(run.status, 0);
  const nothing = "Nothing to do: ports 80 and up can be bound";
  assert.ok(
    run.stdout.endsWith(`${nothing} until the host reboots.\nTo make it permanent:\n    portshim persist\n`),
    run.stdout,
  );
  await lab.writeFile("host", "/etc/sysctl.d/50-admin.conf", `${NAME}=80\n`);
  const kept = await check();
  const json = findings(await check(["--json"]));
  await lab.removeFile("host", "/etc/sysctl.d/50-admin.conf");
  const file = "/run/host/etc/sysctl.d/50-admin.conf:1";
  assert.ok(kept.stdout.endsWith(`${nothing} also after a reboot (${file}).\n`), kept.stdout);
  assert.match(kept.stdout, `\n                ${file} sets 80\n`);
  assert.equal(
    [kept.status, json.verdict, json.lasts, json.keptBy, json.keep],
    [0, "nothing-to-do", "kept", file, null],
  );
});

test("no way: status 2, and what a person can do", async () => {
  const run = await check(["--via=nsenter"]);
  assert.is(run.status, 2);
  assert.match(run.stdout, "  ✗ nsenter     only for a container with its own network\n");
  assert.match(run.stdout, "  ✗ pkexec      --via does not name it\n");
  const end = `There is no way from here.\nRun this on the host, then start again:\n    sudo sysctl -w ${NAME}=80\n`;
  assert.ok(run.stdout.endsWith(end), run.stdout);
  const json = findings(await check(["--json", "--via=nsenter"]));
  assert.equal([json.verdict, json.next, json.lasts], ["impossible", null, "none"]);
});

test("wrong options: status 64", async () => {
  for (const [argv, sentence] of [
    [["--frob"], 'unknown option "--frob"; see portshim check --help'],
    [["web"], 'check takes options only, not "web"'],
    [["--", "web"], 'check takes options only, not "--"'],
    [["--optional"], 'unknown option "--optional"; see portshim check --help'],
    [["--start=http"], '--start must be an integer from 0 to 1024, not "http"'],
  ] as const) {
    const run = await lab.inToolbox(["portshim", "check", ...argv]);
    assert.equal([run.status, run.stdout, run.stderr], [64, "", `portshim: ${sentence}\n`]);
  }
});

test("--json: the same facts, as the documented schema has them", async () => {
  const run = await check(["--json"]);
  assert.is(run.status, 1);
  assert.equal(findings(run), {
    schema: 1,
    portshim: VERSION,
    verdict: "possible",
    threshold: 1024,
    hostThreshold: 1024,
    wanted: { value: 80, by: "/etc/sysctl.d/80-web.conf:2", fromFile: true },
    place: { name: "toolbox", evidence: "/run/.toolboxenv" },
    network: "hosts",
    bridge: { name: "flatpak-spawn", path: BRIDGE },
    hostProblem: null,
    requests: [{ where: "here", file: "/etc/sysctl.d/80-web.conf", line: 2, text: "80", value: 80 }],
    routes: ROUTES.trim()
      .split("\n")
      .map((line) => {
        const [, mark, name, reason] = /^ *(\S) (\w+) +(.*)$/.exec(line) as string[];
        return { name, usable: mark === "✓", reason };
      }),
    next: { route: "pkexec", command: ["/usr/bin/pkexec", "/usr/sbin/sysctl", "-w", `${NAME}=80`] },
    remedy: null,
    lasts: "restart",
    keptBy: null,
    keep: "portshim persist",
    ports: null,
    firewall: null,
  });
});

test("--json elsewhere: in containers, on the host as user and as root, without a bus, without the setting", async () => {
  const portshim = `${lab.repository}/shim/portshim`;
  const podman = (...options: string[]) =>
    lab.asUser(
      ["podman", "run", "--rm", ...withPortshim(lab), ...options, BASE, CONTAINERS_PORTSHIM, "check", "--json"],
      {
        timeout: 60_000,
      },
    );
  const own = findings(await podman("--user", "1000"));
  assert.equal(
    [own.place.name, own.network, own.verdict, own.bridge?.name],
    ["rootless podman", "unknown", "impossible", "flatpak-spawn"],
  );
  assert.match(own.hostProblem ?? "", "there is no session bus here");
  assert.match(own.remedy ?? "", `podman run --sysctl ${NAME}=80`);
  const root = findings(await podman());
  assert.equal([root.verdict, root.next?.route, root.lasts], ["possible", "capability", "server"]);

  // Two thresholds: the container's for binding in it, the host's for publishing.
  await lab.setThreshold(500);
  const bus = `/run/user/${lab.uid}/bus`;
  const reach = ["--userns=keep-id", `--volume=${bus}:${bus}`, `--env=DBUS_SESSION_BUS_ADDRESS=unix:path=${bus}`];
  const both = findings(await podman(...reach, `--sysctl=${NAME}=90`));
  await lab.setThreshold(1024);
  assert.equal([both.network, both.threshold, both.hostThreshold, own.hostThreshold], ["own", 90, 500, null]);

  const user = findings(await lab.asUser([portshim, "check", "--json"], { env: hostsEnv }));
  assert.equal([user.place.name, user.network, user.next?.route, user.bridge?.path], ["host", "hosts", "pkexec", null]);
  const admin = findings(await lab.asHost([portshim, "check", "--json"], { env: hostsEnv }));
  assert.equal([admin.place.name, admin.next?.route], ["host", "write"]);

  const noBus = findings(await check(["--json"], { env: { DBUS_SESSION_BUS_ADDRESS: "unix:path=/none" } }));
  assert.match(noBus.hostProblem ?? "", "there is no session bus here");
  assert.equal([noBus.verdict, noBus.network], ["impossible", "unknown"]);

  const masked = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    `mount -t tmpfs tmpfs ${FILE.replace(/\/\w+$/, "")} && exec "$@"`,
    "sh",
  ];
  const none = findings(await lab.asHost([...masked, portshim, "check", "--json"], { env: hostsEnv }));
  assert.equal([none.threshold, none.verdict, none.lasts], [null, "nothing-to-do", "server"]);
});

test("--bind: which ports can really be bound, and who uses those that cannot", async () => {
  const refused = await check(["--bind"]);
  assert.is(refused.status, 1);
  assert.ok(
    refused.stdout.endsWith(
      "\n  ✗ 80          cannot be bound: permission denied\n  ✗ 443         cannot be bound: permission denied\n",
    ),
    refused.stdout,
  );

  await lab.setThreshold(80);
  const free = await check(["--bind"]);
  assert.is(free.status, 0);
  assert.ok(free.stdout.endsWith("\n  ✓ 80          can be bound\n  ✓ 443         can be bound\n"), free.stdout);

  const serve = (port: number) => [
    "node",
    "-e",
    `process.title = "web"; require("net").createServer().listen(${port}, "127.0.0.1", () => console.log("serving"))`,
  ];
  const hers = await lab.spawn("toolbox", serve(80));
  await hers.waitFor(/serving/);
  const roots = await lab.spawn("host", serve(443), { env: hostsEnv });
  await roots.waitFor(/serving/);
  const held = await check(["--bind"]);
  const json = findings(await check(["--bind", "--json"]));
  const other = await check(["--bind", "--start=444"]);
  await lab.setThreshold(1024);
  const high = await check(["--bind"]);
  await hers.kill("SIGKILL");
  await roots.kill("SIGKILL");
  assert.is(held.status, 2);
  const [by, unseen] = [`web (process ${hers.pid})`, "a process that cannot be seen from here"];
  assert.ok(
    held.stdout.endsWith(`\n  ✗ 80          is in use by ${by}\n  ✗ 443         is in use by ${unseen}\n`),
    held.stdout,
  );
  assert.equal(json.ports, [
    { port: 80, error: "EADDRINUSE", holders: [{ pid: hers.pid, name: "web" }] },
    { port: 443, error: "EADDRINUSE", holders: [] },
  ]);
  assert.is(high.status, 2);
  const denied = "cannot be bound: permission denied";
  assert.ok(
    high.stdout.endsWith(
      `\n  ✗ 80          ${denied}; and it is in use by ${by}\n  ✗ 443         ${denied}; and it is in use by ${unseen}\n`,
    ),
    high.stdout,
  );
  assert.ok(other.stdout.endsWith("\n  ✓ 444         can be bound\n"), other.stdout);
});

test("colours on a terminal only, and not with NO_COLOR", async () => {
  const onTerminal = async (env: Record<string, string>) => {
    const run = await lab.inToolbox(["script", "--quiet", "--return", "--command", "portshim check", "/dev/null"], {
      env,
    });
    assert.is(run.status, 1);
    return run.stdout.replaceAll("\r", "");
  };
  const coloured = await onTerminal({ TERM: "xterm" });
  assert.match(coloured, "\x1b[32m✓\x1b[0m pkexec");
  assert.match(coloured, "\x1b[31m✗\x1b[0m write");
  const plain = (await check()).stdout;
  assert.not.match(plain, COLOUR);
  assert.is(coloured.replace(COLOUR, ""), plain);
  assert.is(await onTerminal({ TERM: "xterm", NO_COLOR: "1" }), plain);
  assert.is(await onTerminal({ TERM: "dumb" }), plain);
});

test("the host's firewall: mentioned if it could keep others out", async () => {
  const mention = "If it keeps others out, run this on the host:\n    ";
  await lab.writeFile("host", "/etc/ufw/ufw.conf", "# written by ufw\nENABLED=yes\nLOGLEVEL=low\n");
  const ufw = await check();
  await lab.writeFile("host", "/etc/ufw/ufw.conf", "ENABLED=no\n");
  const off = await check();
  await lab.removeFile("host", "/etc/ufw");
  assert.ok(ufw.stdout.endsWith(`\nThe host runs ufw. ${mention}sudo ufw allow 80/tcp\n`), ufw.stdout);
  assert.not.match(off.stdout, /firewall|ufw/);

  const onHost = () => lab.asHost([`${lab.repository}/shim/portshim`, "check", "--json"], { env: hostsEnv });
  const nft = async (...rules: string[]) => {
    const loaded = await lab.asHost(["nft", rules.join("; ")]);
    assert.is(loaded.status, 0, loaded.stderr);
  };
  assert.is(findings(await onHost()).firewall, null);
  const chain = "add chain inet web input { type filter hook input priority 0; policy drop; }";
  await nft("add table inet web", chain, "add rule inet web input iif lo accept");
  const dropped = findings(await onHost()).firewall;
  await nft("add rule inet web input tcp dport { 22, 80-90 } accept");
  const accepted = findings(await onHost()).firewall;
  await nft("delete table inet web");
  assert.is(dropped?.name, "nftables");
  assert.is(dropped?.remedy, "sudo nft insert rule inet web input tcp dport 80 accept");
  assert.is(accepted, null);
});

test("--user, as root: the server keeps the port's capability", async () => {
  const run = await lab.asUser(
    ["podman", "run", "--rm", ...withPortshim(lab), BASE, CONTAINERS_PORTSHIM, "check", "--user=1000"],
    { timeout: 60_000 },
  );
  assert.is(run.status, 1, run.stderr);
  assert.match(run.stdout, "portshim -- COMMAND would use the route capability.\n");
});

test("docs/check.md: its report, and the line that reads the JSON", async () => {
  const report = codeOf("docs/check.md", "  place         toolbox (/run/.toolboxenv)");
  // The page shows Fedora's.
  assert.is((await check()).stdout.replace(BRIDGE, "/usr/bin/flatpak-spawn"), report);
  const command = codeOf("docs/check.md", "portshim check --json | jq -r .verdict");
  const env = { PATH: `${lab.repository}/shim:${hostsEnv.PATH}` };
  assert.is((await lab.asUser(["bash", "-c", command], { env })).stdout, "possible\n");
});

// The last: the lab's polkit does not come back.
test("a host on which polkit does not run, and one on which the bus would start it", async () => {
  const reload = "dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig";
  const owner =
    "dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.freedesktop.PolicyKit1";
  const service = "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service";
  const host = async (script: string) => {
    const { status, stdout, stderr } = await lab.asHost(["sh", "-ec", script]);
    assert.is(status, 0, stderr);
    return stdout;
  };
  const NO = "  ✗ pkexec      polkit is not running on the host\n";
  const YES = "  ✓ pkexec      the host can be asked through flatpak-spawn\n";

  await host(`mv ${service} ${service}.away; ${reload}; pkill -x polkitd; while pgrep -x polkitd; do sleep 0.1; done`);
  const none = await check();
  assert.is(none.status, 2);
  assert.match(none.stdout, NO);
  await host("mv /usr/bin/busctl /usr/bin/busctl.away");
  assert.match((await check()).stdout, NO);
  await host("mv /usr/bin/dbus-send /usr/bin/dbus-send.away");
  // No program there can ask the bus: pkexec itself will report it.
  assert.match((await check()).stdout, YES);
  await host("mv /usr/bin/dbus-send.away /usr/bin/dbus-send");

  await host(`mv ${service}.away ${service}; ${reload}`);
  assert.match((await check()).stdout, YES);
  await host("mv /usr/bin/busctl.away /usr/bin/busctl");
  assert.match((await check()).stdout, YES);
  assert.match(await host(owner), "boolean false");
});

test.run();
