import * as assert from "uvu/assert";
import { WEB_RULES } from "../cli/guard.rules.js";
import { codeOf } from "../page.js";
import { suite } from "../suite.js";
import { startAgent } from "./agent.js";
import { FAR, knock, knockHere, layCable, type Met, NEAR, serve, serveFar } from "./cable.js";
import { CONTAINERS_PORTSHIM, withPortshim } from "./container.js";
import { type Lab, type Result, startLab } from "./lab.js";
import { RUN0_ASKS, withoutPkexec } from "./pkexec.js";
import { askedDuring, BASE, NAME } from "./start.js";

const test = suite("portshim guard", "lab", "nodes");

/** The host's commands, as polkit is asked about them and would show them. */
const APPLY = "/usr/sbin/nft -e -f -";
const REMOVE = "/usr/sbin/nft -e table inet portshim;delete table inet portshim";
const LIST = "sudo nft list table inet portshim";
const KEEP = [
  `    ${LIST} | sudo tee /etc/portshim.nft`,
  `    echo 'include "/etc/portshim*.nft"' | sudo tee -a /etc/nftables.conf && sudo systemctl enable nftables`,
];

let lab: Lab;
let onHost: { argv: string[]; env: Record<string, string> };

test.before(async () => {
  lab = await startLab();
  await lab.installShim();
  await lab.writeFile("toolbox", "/etc/sysctl.d/80-web.conf", "net.ipv4.ip_unprivileged_port_start=80\n");
  onHost = {
    argv: [`${lab.repository}/shim/portshim`, "guard"],
    env: { PATH: `${lab.nodes}/node26/bin:/usr/sbin:/usr/bin:/sbin:/bin` },
  };
  await lab.setThreshold(80);
  await layCable(lab);
  await serve(lab, "host", ...ROOTS, "tcp 700 ::1");
  await serve(lab, "user", ...WANTED, ...USERS, "udp 546");
  // What nobody outside the toolbox would take for root's.
  const script = 'require("net").createServer((s) => s.end()).listen(900, () => console.log("serving"))';
  const toolboxes = await lab.spawn("toolbox", ["node", "-e", script], { root: true });
  await toolboxes.waitFor(/serving/);
});
test.after(() => lab.stop());
test.before.each(async () => {
  await lab.polkit("YES");
  await lab.asHost(["nft", "flush", "ruleset"]);
});

const WANTED_TCP = ["tcp 80", "tcp 443"];
const WANTED = [...WANTED_TCP, "udp 443"];
const ROOTS = ["tcp 22", "tcp 111", "tcp 631", "udp 631"];
const USERS = ["tcp 81", "tcp 500", "tcp 1023", "udp 500", "udplite 600"];
const OTHERS = [...USERS, "tcp 900"];

/** The doors of the host, over IPv4 and IPv6. */
const doors = (sockets: readonly string[]) =>
  sockets.flatMap((socket) => [`${socket} ${NEAR.ipv4}`, `${socket} ${NEAR.ipv6}`]);

const all = (sockets: readonly string[], what: Met[string]): Met =>
  Object.fromEntries(doors(sockets).map((door) => [door, what]));

const knockAll = () => knock(lab, ...doors([...WANTED, ...ROOTS, ...OTHERS]));

const GUARDED = { ...all([...WANTED, ...ROOTS], "open"), ...all(OTHERS, "refused") };
const UNGUARDED = all([...WANTED, ...ROOTS, ...OTHERS], "open");

const guard = (...argv: string[]): Promise<Result> => lab.inToolbox(["portshim", "guard", ...argv]);
const asRoot = (...argv: string[]): Promise<Result> => lab.asHost([...onHost.argv, ...argv], { env: onHost.env });

/** What nft lists: the rules in force. */
const listed = async () => {
  const { status, stdout, stderr } = await lab.asHost(["nft", "list", "ruleset"]);
  assert.is(status, 0, stderr);
  return stdout;
};

/** What polkit is asked while `work` runs. */
const asked = (work: () => Promise<unknown>) => askedDuring(lab, work);

const NOTES = `portshim: Any user can bind ports 80 and up. These rules close ports 81-442 and 444-1023 to other machines. Still open:
    the wanted ports: 80 and 443
    services of root: tcp 111, tcp 631 and udp 631
    this machine to itself, answers to its own connections, and its DHCPv6 client (udp 546)
Closed, though in use: tcp 81 (user 4321), tcp 500 (user 4321), udp 500 (user 4321), tcp 900 (user 700000) and tcp 1023 (user 4321). To leave one open, name it with --ports.
`;

test("nothing is closed before; the rules are printed, and nobody is asked", async () => {
  let run: Result | undefined;
  assert.equal(await asked(async () => (run = await guard())), []);
  assert.equal([run?.status, run?.stdout], [0, WEB_RULES]);
  const end = `portshim: Only root can see whether the host has such rules already: ${LIST}\nTo load them there:\n    portshim guard --apply\n`;
  assert.is(run?.stderr, NOTES + end);
  assert.is(await listed(), "");
  assert.equal(await knockAll(), UNGUARDED);
});

test("--apply in a toolbox: one prompt; what is wanted and root's passes, the rest does not; --remove: all passes", async () => {
  let run: Result | undefined;
  assert.equal(await asked(async () => (run = await guard("--apply"))), [APPLY]);
  assert.is(run?.status, 0, run?.stderr);
  assert.is(run?.stdout, "");
  assert.is(
    run?.stderr,
    `${NOTES}portshim: Loading these rules on the host:
${WEB_RULES.trimEnd().replace(/^(?=.)/gm, "    ")}
Running as root on the host (you may be asked for your password):
    /usr/bin/pkexec ${APPLY}
portshim: Done, as nft reports. Only root can see the rules: ${LIST}
The rules are in force until the host reboots. To keep them, run this on the host:
${KEEP.join("\n")}
To undo it:
    portshim guard --remove
`,
  );
  assert.equal(await knockAll(), GUARDED);

  assert.equal(await asked(async () => (run = await guard("--remove"))), [REMOVE]);
  assert.is(run?.status, 0, run?.stderr);
  assert.is(
    run?.stderr,
    `portshim: Removing table inet portshim on the host
Running as root on the host (you may be asked for your password):
    /usr/bin/pkexec /usr/sbin/nft -e 'table inet portshim;delete table inet portshim'
portshim: Done. The host has no table inet portshim now.
`,
  );
  assert.is(await listed(), "");
  assert.equal(await knockAll(), UNGUARDED);
  assert.is((await guard("--remove")).status, 0);
});

test("what is this machine's own passes: to itself, answers from others, and those to its DHCPv6 client", async () => {
  await guard("--apply");
  const far = await serveFar(lab, "tcp 8080", "udp 8080");
  const own = ["tcp 81 127.0.0.1", "tcp 81 ::1", "udp 500 127.0.0.1", "tcp 700 ::1", ...doors(["tcp 500", "udp 500"])];
  const out = [`tcp 8080 ${FAR.ipv4} 601`, `udp 8080 ${FAR.ipv4} 602`];
  const met = await knockHere(lab, ...own, ...out);
  await far.kill();
  assert.equal(met, Object.fromEntries([...own, ...out].map((door) => [door, "open"])));
  const dhcp = `udp 546 ${NEAR.link}`;
  assert.equal(await knock(lab, dhcp, ...doors(["udp 546"])), { [dhcp]: "open", ...all(["udp 546"], "refused") });
});

test("--apply again replaces the rules, with other ports too, and other tables stay", async () => {
  await lab.asHost(["nft", "add table inet other"]);
  await guard("--apply");
  const once = await listed();
  await guard("--apply");
  assert.is(await listed(), once);
  await guard("--apply", "--ports=500,81");
  const met = await knock(lab, ...doors(["tcp 80", "tcp 81", "tcp 500", "udp 500", "tcp 443", "tcp 631"]));
  assert.equal(met, {
    ...all(["tcp 81", "tcp 500", "udp 500", "tcp 631"], "open"),
    ...all(["tcp 80", "tcp 443"], "refused"),
  });
  await guard("--remove");
  assert.is(await listed(), "table inet other {\n}\n");
});

test("a service of root's that is there later is closed until guard is run again", async () => {
  await guard("--apply");
  const later = await serve(lab, "host", "tcp 950");
  const before = await knock(lab, ...doors(["tcp 950"]));
  await guard("--apply");
  const after = await knock(lab, ...doors(["tcp 950"]));
  await later.kill();
  assert.equal([before, after], [all(["tcp 950"], "refused"), all(["tcp 950"], "open")]);
});

test("on the host, as root: nobody is asked, and what is in force is seen", async () => {
  const prompts = await asked(async () => {
    const before = await asRoot();
    assert.equal([before.status, before.stdout], [0, WEB_RULES]);
    assert.match(before.stderr, "\nportshim: The host has no table inet portshim.\nTo load them there:\n");
    const nothing = await asRoot("--remove");
    assert.equal(
      [nothing.status, nothing.stderr],
      [0, "portshim: Nothing to do: the host has no table inet portshim.\n"],
    );
    const apply = await asRoot("--apply");
    assert.is(apply.status, 0, apply.stderr);
    assert.match(
      apply.stderr,
      /\nRunning as root on this machine:\n {4}\/usr\/bin\/env PATH=\S+ \/usr\/sbin\/nft -e -f -\n/,
    );
    assert.match(apply.stderr, "\nportshim: Done.\nThe rules are in force until the host reboots. To keep them,");
    assert.equal(await knockAll(), GUARDED);
    assert.match((await asRoot()).stderr, "\nportshim: The host has table inet portshim already.\n");
    assert.is((await asRoot("--remove")).status, 0);
    assert.is(await listed(), "");
  });
  assert.equal(prompts, []);
});

test("nft -f - takes what is printed, and it is what --apply loads", async () => {
  await asRoot("--apply");
  const applied = await listed();
  await lab.asHost(["nft", "flush ruleset"]);
  const { stdout } = await guard("--quiet");
  const loaded = await lab.asHost(["nft", "-f", "-"], { input: stdout });
  assert.equal([loaded.status, loaded.stderr, await listed()], [0, "", applied]);
});

test("refused by polkit: nothing is changed, and what to do by hand", async () => {
  await lab.polkit("NO");
  const run = await guard("--apply", "--ports=80");
  assert.equal([run.status, await listed()], [77, ""]);
  const byHand =
    "Run this here, then on the host in the same folder:\n    portshim guard --ports=80 >portshim.nft\n    sudo nft -f portshim.nft\n";
  assert.match(run.stderr, "portshim: permission denied by the host: wrong password, or polkit");
  assert.ok(run.stderr.endsWith(byHand), run.stderr);

  await asRoot("--apply");
  const before = await listed();
  const remove = await guard("--remove");
  assert.equal([remove.status, await listed()], [77, before]);
  const removeByHand = "Run this on the host:\n    sudo nft -e 'table inet portshim;delete table inet portshim'\n";
  assert.ok(remove.stderr.endsWith(removeByHand), remove.stderr);
});

test("docs/guard.md has the commands that are tried here, and those that root is asked to run", async () => {
  assert.is(codeOf("docs/guard.md", LIST), `${KEEP.join("\n")}\n`.replace(/^ {4}/gm, ""));
  const [apply = "", remove = ""] = codeOf("docs/guard.md", `pkexec ${APPLY}`).split("\n");
  for (const [command, rules] of [
    [apply, /^table inet portshim \{\n/],
    [remove, /^$/],
  ] as const) {
    const run = await lab.asUser(["bash", "-c", command], { input: WEB_RULES });
    assert.is(run.status, 0, run.stderr);
    assert.match(await listed(), rules);
  }
});

test("what to do by hand works", async () => {
  const here = await lab.inToolbox(["sh", "-c", "portshim guard >portshim.nft"]);
  assert.is(here.status, 0);
  const there = await lab.asHost(["sh", "-c", `cd /home/${lab.user} && sudo nft -f portshim.nft`]);
  assert.is(there.status, 0, there.stderr);
  assert.equal(await knockAll(), GUARDED);
  const remove = "sudo nft -e 'table inet portshim;delete table inet portshim'";
  for (let times = 0; times < 2; times++) assert.is((await lab.asHost(["sh", "-c", remove])).status, 0);
  assert.is(await listed(), "");
});

test("the right password: loaded", async () => {
  await lab.polkit("AUTH_ADMIN");
  const agent = await startAgent(lab);
  const running = await lab.spawn("toolbox", ["portshim", "guard", "--apply"]);
  await agent.asked();
  agent.type(lab.password);
  const { status, stderr } = await running.exited;
  await agent.stop();
  assert.is(status, 0, stderr);
  assert.match(await listed(), "table inet portshim");
});

test("a host without pkexec: run0", async () => {
  await withoutPkexec(lab, async () => {
    for (const [flag, rules] of [
      ["--apply", /^table inet portshim \{/],
      ["--remove", /^$/],
    ] as const) {
      const prompts = await asked(async () => {
        const run = await guard(flag);
        assert.is(run.status, 0, run.stderr);
      });
      assert.equal([prompts.length, RUN0_ASKS.test(prompts.join())], [1, true], prompts.join());
      assert.match(await listed(), rules);
    }
  });
});

test("--dry-run changes nothing, and prints what would be done", async () => {
  const prompts = await asked(async () => {
    const apply = await guard("--apply", "--dry-run", "--quiet");
    assert.equal([apply.status, apply.stderr], [0, ""]);
    const shown = WEB_RULES.trimEnd().replace(/^(?=.)/gm, "    ");
    const would = "Would run as root:\n    /usr/bin/pkexec /usr/sbin/nft";
    assert.is(apply.stdout, `Would load these rules on the host:\n${shown}\n${would} -e -f -\n`);
    const remove = await guard("--remove", "--dry-run");
    const line = `${would} -e 'table inet portshim;delete table inet portshim'\n`;
    assert.is(remove.stdout, `Would remove table inet portshim on the host\n${line}`);
  });
  assert.equal([prompts, await listed()], [[], ""]);
});

test("before the threshold is lowered; and where it opens nothing", async () => {
  await lab.setThreshold(1024);
  const before = await guard();
  const nothing = await guard("--start=1024", "--apply");
  await lab.setThreshold(80);
  assert.ok(
    before.stderr.startsWith(`portshim: Once ${NAME} is 80, any user can bind ports 80 and up.`),
    before.stderr,
  );
  assert.is(before.stdout, WEB_RULES);
  const sentence = `Nothing to do: with ${NAME}=1024 no port below 1024 can be bound without privileges.`;
  assert.equal([nothing.status, nothing.stdout, nothing.stderr], [0, "", `portshim: ${sentence}\n`]);
});

test("a host without nft: the rules are printed, and --apply says what is missing", async () => {
  await lab.asHost(["mv", "/usr/sbin/nft", "/usr/sbin/nft.away"]);
  const [printed, apply, remove] = [await guard(), await guard("--apply"), await guard("--remove")];
  await lab.asHost(["mv", "/usr/sbin/nft.away", "/usr/sbin/nft"]);
  assert.equal([printed.status, printed.stdout], [0, WEB_RULES]);
  for (const run of [apply, remove]) {
    assert.is(run.status, 69);
    assert.match(run.stderr, "portshim: cannot change the host's firewall: the host has no nft\n");
  }
});

for (const [name, folder, keep] of [
  ["Arch", "/usr/bin", `run this on the host:\n${KEEP.join("\n")}`],
  ["NixOS", "/run/current-system/sw/bin", "add them to networking.nftables in the host's configuration."],
] as const) {
  test(`a host that has nft where ${name} has it: it is asked, shown and used there`, async () => {
    const nft = `${folder}/nft`;
    const drop = "add table inet web; add chain inet web input { type filter hook input priority 0; policy drop; }";
    await lab.asHost(["nft", drop]);
    assert.is((await lab.asHost(["sh", "-c", `mkdir -p ${folder} && mv /usr/sbin/nft ${nft}`])).status, 0);
    const printed = await asRoot();
    await lab.asHost([nft, "delete table inet web"]);
    let run: Result | undefined;
    const prompts = await asked(async () => (run = await guard("--apply")));
    assert.is((await lab.asHost(["mv", nft, "/usr/sbin/nft"])).status, 0);
    const about = "which has a chain that closes what none of its rules accepts";
    assert.match(
      printed.stderr,
      `\nThe host runs nftables, ${about}.\nTo open 80 and 443 there, run this on the host:\n`,
    );
    assert.match(printed.stderr, "\nportshim: The host has no table inet portshim.\n");
    assert.equal(prompts, [`${nft} -e -f -`]);
    assert.match(
      run?.stderr ?? "",
      `\nThe rules are in force until the host reboots. To keep them, ${keep}\nTo undo it:\n`,
    );
    assert.match(await listed(), /^table inet portshim \{\n/);
  });
}

/** Has nft do something else meanwhile: no real one does these things when it is asked to. */
async function withNft(instead: string, work: () => Promise<void>): Promise<void> {
  await lab.writeFile("host", "/root/nft", `#!/bin/sh\n${instead}\n`, 0o755);
  await lab.asHost(["mount", "--bind", "/root/nft", "/usr/sbin/nft"]);
  try {
    await work();
  } finally {
    await lab.asHost(["umount", "/usr/sbin/nft"]);
  }
}

test("nft that fails: its words, and no second prompt", async () => {
  await withNft("cat >/dev/null; echo 'Error: out of luck' >&2; exit 1", async () => {
    const prompts = await asked(async () => {
      const run = await guard("--apply", "--via=pkexec,run0");
      assert.is(run.status, 69);
      assert.match(run.stderr, "portshim: nft failed on the host: Error: out of luck\nRun this here, then on the host");
    });
    assert.equal(prompts, [APPLY]);
  });
});

test("a yes is not believed if it can be seen that it is none", async () => {
  const lies = "case $1 in -e) exit 0 ;; esac; exit 1";
  await withNft(lies, async () => {
    const run = await asRoot("--apply");
    assert.is(run.status, 69);
    assert.match(run.stderr, "nft failed on the host: it reports success, but there is no table inet portshim\n");
  });
  await withNft("exit 0", async () => {
    const run = await asRoot("--remove");
    assert.is(run.status, 69);
    assert.match(run.stderr, "nft failed on the host: it reports success, but there is a table inet portshim\n");
    // And an ordinary user's bus may have died.
    const mute = await guard("--apply");
    assert.is(mute.status, 69);
    assert.match(mute.stderr, "portshim: cannot ask the host: flatpak-spawn ended without an answer");
  });
});

test("a host whose sockets cannot be listed: nothing is closed blindly", async () => {
  const mounted = await lab.asHost(["mount", "--bind", "/dev/null", "/usr/bin/cat"]);
  assert.is(mounted.status, 0, mounted.stderr);
  const run = await guard("--apply");
  await lab.asHost(["umount", "/usr/bin/cat"]);
  assert.equal([run.status, await listed()], [69, ""], run.stderr);
  assert.match(
    run.stderr,
    "portshim: cannot change the host's firewall: cannot list the sockets of the host: /bin/sh:",
  );
});

test("elsewhere: the reason", async () => {
  const container = ["podman", "run", "--rm", "--network", "host", ...withPortshim(lab), BASE, CONTAINERS_PORTSHIM];
  const run = await lab.asUser([...container, "guard"], { timeout: 60_000 });
  assert.equal([run.status, run.stdout], [69, ""]);
  assert.is(
    run.stderr,
    "portshim: cannot change the host's firewall: this is a rootless podman container; guard works on the host itself, in a toolbox and in a distrobox\n",
  );
  const apart = await lab.asHost(["unshare", "--net", ...onHost.argv], { env: onHost.env });
  assert.equal([apart.status, apart.stdout], [69, ""]);
  assert.match(apart.stderr, "firewall: this is the host itself with its own network, which is not the host's\n");
  const noBus = await lab.inToolbox(["portshim", "guard"], { env: { DBUS_SESSION_BUS_ADDRESS: "unix:path=/none" } });
  assert.is(noBus.status, 69);
  assert.match(noBus.stderr, "firewall: there is no session bus here;");
});

test("--remove takes no other option", async () => {
  for (const flag of ["--apply", "--ports=80", "--start=80"]) {
    const run = await guard("--remove", flag);
    const sentence = "--remove takes all the rules away, and takes no --apply, --ports or --start";
    assert.equal([run.status, run.stderr], [64, `portshim: ${sentence}\n`]);
  }
});

test("firewalld: what it closes already, and its command; guard's rules hold beside it", async () => {
  await lab.asHost(["systemctl", "start", "firewalld"]);
  let run: Result | undefined;
  assert.equal(await asked(async () => (run = await guard("--apply"))), [APPLY]);
  const [, command = ""] =
    /\nThe host runs firewalld, which closes what its zone does not open, in the usual zones nearly all ports below 1024, also after a reboot\.\nTo open 80 and 443 there, run this on the host:\n {4}(.*)\n/.exec(
      run?.stderr ?? "",
    ) ?? [];
  const until =
    "\nThe rules are in force until the host reboots; then firewalld closes what it closes now.\nTo undo it:\n";
  assert.match(run?.stderr ?? "", until);
  const closed = await knock(lab, ...doors(["tcp 80", "tcp 443", "tcp 81"]));
  const opened = await lab.asHost(["sh", "-c", command]);
  assert.is(opened.status, 0, opened.stderr);
  const met = await knock(lab, ...doors(["tcp 80", "tcp 443", "tcp 81"]));
  await lab.asHost(["sh", "-c", "firewall-cmd --permanent --add-port=81/tcp && firewall-cmd --reload"]);
  const ours = await knock(lab, ...doors(["tcp 81"]));
  await guard("--remove");
  const theirs = await knock(lab, ...doors(["tcp 81", "tcp 500"]));
  await lab.asHost(["systemctl", "stop", "firewalld"]);
  assert.ok(!Object.values(closed).includes("open"), JSON.stringify(closed));
  const open = Object.keys(met).filter((door) => met[door] === "open");
  assert.equal(open, doors(["tcp 80", "tcp 443"]));
  assert.equal(ours, all(["tcp 81"], "refused"));
  assert.equal(theirs[`tcp 81 ${NEAR.ipv4}`], "open");
  assert.is.not(theirs[`tcp 500 ${NEAR.ipv4}`], "open");
});

test("ufw: what it closes already, and its command; guard's rules and its own leave each other alone", async () => {
  const ufw = async (command: string) => {
    const { status, stderr } = await lab.asHost(["sh", "-ec", command]);
    assert.is(status, 0, stderr);
  };
  // Which of the two sees a packet first, and so how it is closed, is up to the kernel.
  const open = async (...sockets: string[]) => {
    const met = await knock(lab, ...doors(sockets));
    return Object.keys(met).filter((door) => met[door] === "open");
  };
  assert.not.match((await guard()).stderr, "ufw");
  await ufw("ufw --force enable");
  let run: Result | undefined;
  assert.equal(await asked(async () => (run = await guard("--apply"))), [APPLY]);
  const [, command = ""] =
    /\nThe host runs ufw, which closes what none of its rules allows, unless its default was changed, also after a reboot\.\nTo open 80 and 443 there, run this on the host:\n {4}(.*)\n/.exec(
      run?.stderr ?? "",
    ) ?? [];
  assert.match(run?.stderr ?? "", "until the host reboots; then ufw closes what it closes now.\nTo undo it:\n");
  assert.equal(await open("tcp 80"), []);
  await ufw(command);
  const closed = ["tcp 81", "udp 500"];
  assert.equal(await open(...WANTED_TCP, ...closed), doors(WANTED_TCP));
  await ufw("ufw allow 81/tcp && ufw reload");
  assert.equal(await open(...WANTED_TCP, ...closed), doors(WANTED_TCP));
  await guard("--remove");
  assert.equal(await open(...WANTED_TCP, ...closed), doors([...WANTED_TCP, "tcp 81"]));
  await ufw("ufw disable && ufw --force reset");
  assert.not.match((await guard()).stderr, "ufw");
});

test("of all that root was asked here, polkit's prompt shows every word: 80 characters", async () => {
  const prompts = await lab.prompts();
  assert.ok(prompts.includes(APPLY) && prompts.includes(REMOVE));
  for (const prompt of prompts) assert.ok(prompt.length <= 80 && !/[&<>]/.test(prompt), prompt);
});

test("until the host reboots; and the commands that keep the rules, change them and give them up do", async () => {
  const ours = async () => (await lab.asHost(["nft", "list", "table", "inet", "portshim"])).stdout;
  const afterReboot = async () => {
    await lab.reboot();
    return ours();
  };
  const pasted = async ({ stderr }: Result, ...lines: string[]) => {
    assert.match(stderr, `run this on the host:\n${lines.join("\n")}\n`);
    const run = await lab.asHost(["sh", "-ec", lines.join("\n")]);
    assert.is(run.status, 0, run.stderr);
  };
  await guard("--apply");
  assert.is(await afterReboot(), "");
  await pasted(await guard("--apply"), ...KEEP);
  const first = await ours();
  assert.match(first, "th dport { 81-442, 444-1023 } reject");
  assert.is(await afterReboot(), first);

  const other = await guard("--apply", "--ports=80,500");
  await pasted(other, KEEP[0] ?? "");
  assert.not.match(other.stderr, "include");
  const second = await ours();
  assert.match(second, "th dport { 81-499, 501-1023 } reject");
  assert.is(await afterReboot(), second);

  const removed = await guard("--remove");
  const rm = "sudo rm /etc/portshim.nft";
  const kept = `now, until it reboots: /etc/portshim.nft is still there. Run this on the host:\n    ${rm}\n`;
  assert.ok(removed.stderr.endsWith(kept), removed.stderr);
  assert.is((await lab.asHost(["sh", "-c", rm])).status, 0);
  assert.is(await afterReboot(), "");
  assert.match(await listed(), "table inet filter");
});

test.run();
