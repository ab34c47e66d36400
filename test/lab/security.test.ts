import * as assert from "uvu/assert";
import { suite } from "../suite.js";
import { busOf } from "./container.js";
import { withDialog } from "./dialog.js";
import { type Lab, startLab } from "./lab.js";
import { BASE, NAME } from "./start.js";

const test = suite("docs/security.md", "lab", "nodes");

let lab: Lab;

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.asHost(["useradd", "bob"]);
});
test.after(() => lab.stop());
test.before.each(() => lab.setThreshold(1024));

const BIND = `
import errno, socket, sys, time
for word in sys.argv[1:]:
  address, port, *options = word.split("/")
  kind = socket.SOCK_DGRAM if "udp" in options else socket.SOCK_STREAM
  held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
  if ":" in address: held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "only" in options)
  if "addr" in options: held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  if "port" in options: held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
  try:
    held.bind((address, int(port)))
    if kind == socket.SOCK_STREAM: held.listen()
    print("yes", flush=True)
  except OSError as error: print(errno.errorcode[error.errno], flush=True)
  if "hold" in options: time.sleep(1000)
  held.close()
`;

/** A program that binds sockets, ADDRESS/PORT[/udp][/addr][/port][/only][/hold], and says of each "yes" or the error. */
const binding = (user: string, ...sockets: string[]) => [
  ...["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"],
  ...(user === "root" ? [] : ["--inh-caps=-all"]),
  ...["python3", "-c", BIND, ...sockets],
];
const bind = async (user: string, ...sockets: string[]) =>
  (await lab.asHost(binding(user, ...sockets))).stdout.trim().split("\n");

/** Does `work` while a socket is held by a user. */
async function whileHeld(user: string, socket: string, work: () => Promise<void>): Promise<void> {
  const holder = await lab.spawn("host", binding(user, `${socket}/hold`));
  await holder.waitFor(/yes/);
  await work();
  await holder.kill();
  await holder.exited;
}

test("at 1024, and at 80: who can bind what", async () => {
  const ports = ["::/22", "::/53", "::/80", "::/443/udp", "::/631", "::/1023"];
  const no = "EACCES";
  assert.equal(await bind("bob", ...ports), [no, no, no, no, no, no]);
  await lab.setThreshold(80);
  assert.equal(await bind("bob", ...ports), [no, no, "yes", "yes", "yes", "yes"]);
});

test("a threshold of 443 opens nothing below it", async () => {
  await lab.setThreshold(443);
  assert.equal(await bind("bob", "::/80", "::/442", "::/443"), ["EACCES", "EACCES", "yes"]);
});

test("while a server runs nobody else gets its port; while it is down anybody does", async () => {
  await lab.setThreshold(80);
  const forms = ["::/80", "::/80/addr/port", "0.0.0.0/80/addr", "127.0.0.1/80/addr/port", "::1/80/addr/port"];
  await whileHeld("ada", "::/80/addr/port", async () => {
    assert.equal(
      await bind("bob", ...forms),
      forms.map(() => "EADDRINUSE"),
    );
  });
  assert.equal(
    await bind("bob", ...forms),
    forms.map(() => "yes"),
  );
});

test("a server on IPv4 alone leaves IPv6 to others", async () => {
  await lab.setThreshold(80);
  await whileHeld("ada", "0.0.0.0/80", async () => {
    assert.equal(await bind("bob", "0.0.0.0/80", "::/80", "::/80/only"), ["EADDRINUSE", "EADDRINUSE", "yes"]);
  });
});

test("a UDP port that allows reuse is shared with anybody", async () => {
  await lab.setThreshold(80);
  for (const port of [443, 4430]) {
    await whileHeld("ada", `0.0.0.0/${port}/udp/addr`, async () => {
      assert.equal(await bind("bob", `0.0.0.0/${port}/udp`, `0.0.0.0/${port}/udp/addr`), ["EADDRINUSE", "yes"]);
    });
  }
});

test("root finds a port taken, too", async () => {
  await lab.setThreshold(80);
  await whileHeld("bob", "::/631", async () => {
    assert.equal(await bind("root", "::/631", "::/631/addr/port"), ["EADDRINUSE", "EADDRINUSE"]);
  });
});

test("a low source port is no sign of root any more", async () => {
  const SERVE = `
import socket
server = socket.create_server(("127.0.0.1", 2049)); print("up", flush=True)
while True:
  connection, (_, port) = server.accept(); connection.send(str(port).encode()); connection.close()`;
  const SEND =
    'import socket; print(socket.create_connection(("127.0.0.1", 2049), source_address=("127.0.0.1", 700)).recv(9).decode())';
  const server = await lab.spawn("host", ["python3", "-c", SERVE]);
  await server.waitFor(/up/);
  const send = () => lab.asUser(["python3", "-c", SEND]);
  assert.match((await send()).stderr, "PermissionError: [Errno 13] Permission denied");
  await lab.setThreshold(80);
  assert.is((await send()).stdout, "700\n");
  await server.kill();
});

test("who can talk to the session bus runs anything as you on the host", async () => {
  const spawn = "/usr/libexec/flatpak-xdg-utils/flatpak-spawn";
  const container = (...options: string[]) =>
    lab.asUser(["podman", "run", "--rm", ...options, BASE, spawn, "--host", "sh", "-c", "id -u; touch ~/was-here"]);
  // Whoever it is in there: root of the container is this user outside.
  assert.is((await container()).status, 1);
  const { stdout, stderr } = await container(...busOf(lab));
  assert.is(stdout, `${lab.uid}\n`, stderr);
  assert.is((await lab.asUser(["rm", "was-here"])).status, 0);
});

/** Starts portshim in the toolbox, types the password into the dialog that opens, and returns what that showed. */
async function answered(route: string): Promise<string> {
  await lab.setThreshold(1024);
  let text = "";
  const running = await withDialog(
    lab,
    () => lab.spawn("toolbox", ["portshim", `--via=${route}`, "--", "true"]),
    async () => {
      text = await lab.desktop.read(await lab.desktop.screenshot());
      await lab.desktop.type(lab.password);
      await lab.desktop.press("Return");
    },
  );
  const { status, stderr } = await running.exited;
  assert.equal([status, await lab.threshold()], [0, 80], stderr);
  return text.replace(/\s/g, "");
}

/** Who asks, and by what way. */
const ASKER = /portshim|toolbox|podman|flatpak|container/i;

test("pkexec's prompt shows the command, and not who asks", async () => {
  const text = await answered("pkexec");
  assert.match(text, `/usr/sbin/sysctl-w${NAME}=80`);
  assert.not.match(text, ASKER);
});

test("run0's prompt shows no command", async () => {
  const text = await answered("run0");
  assert.match(text, /Authenticationisrequired/);
  assert.not.match(text, /sysctl|port_start|80/);
  assert.not.match(text, ASKER);
});

test("a password is good for one command", async () => {
  for (const route of ["pkexec", "run0"]) {
    await answered(route);
    await answered(route);
  }
});

test.run();
