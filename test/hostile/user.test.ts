import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { inNamespace, pathWith } from "../namespace.js";
import { PORTSHIM, ROOT } from "../need.js";
import { suite } from "../suite.js";

const test = suite("another user of this machine", "root", "tools", "nodes");

/** The user who starts portshim, and the other one: unused ids, whose files in /tmp are the test's. */
const [VICTIM, OTHER] = [4242426, 4242427];

/** Where portshim's folder is if there is no /run/user. */
const FOLDER = `/tmp/portshim-${VICTIM}`;

// CAP_DAC_READ_SEARCH, because the checkout can be in a folder that is closed to others.
const ORDINARY = [
  ...[`--reuid=${VICTIM}`, `--regid=${VICTIM}`, "--clear-groups"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

const PLACE = mkdtempSync(join(tmpdir(), "portshim-user-"));
chmodSync(PLACE, 0o777);
process.on("exit", () => [PLACE, FOLDER].forEach((path) => void rmSync(path, { recursive: true, force: true })));

/** A host that says no, because only a refusal is written to the lock's file. */
const BRIDGE = join(PLACE, "bridge");
writeFileSync(
  BRIDGE,
  "#!/bin/sh\necho /usr/bin/pkexec; echo /usr/sbin/sysctl; /bin/ls -Lid /proc/self/ns/net; read -r command; echo Not authorized >&2; exit 127\n",
  { mode: 0o755 },
);

/** A folder of the victim's, with a file. */
const HOME = join(PLACE, "home");

/** The victim's files and, in $LOCK, the name of the lock's file. */
const SCENE = `mkdir -m 700 ${HOME} && echo precious >${HOME}/file && chown -R ${VICTIM}:${VICTIM} ${HOME}
LOCK=portshim-$(stat -L -c %i /proc/self/ns/net).lock
export LOCK`;
const as = (uid: number, script: string) =>
  `setpriv --reuid=${uid} --regid=${uid} --clear-groups /bin/sh -ec '${script}'`;

/** What the other user leaves there; each is as far as that user gets. */
const PLANTED: Readonly<Record<string, string>> = {
  "a link to the victim's own folder": `ln -s ${HOME} ${FOLDER}`,
  "a link to nowhere": `ln -s ${HOME}/nowhere ${FOLDER}`,
  "a link to itself": `ln -s ${FOLDER} ${FOLDER}`,
  "a link to a FIFO": `mkfifo ${PLACE}/fifo; ln -s ${PLACE}/fifo ${FOLDER}`,
  "a link into /proc": `ln -s /proc/self/root ${FOLDER}`,
  "a FIFO": `mkfifo -m 666 ${FOLDER}`,
  "a socket": `perl -MIO::Socket::UNIX -e "IO::Socket::UNIX->new(Local => q(${FOLDER}), Listen => 1)"`,
  "a file": `echo x >${FOLDER}`,
  "a folder for all, with links to the victim's file": `mkdir -m 777 ${FOLDER}; ln -s ${HOME}/file ${FOLDER}/$LOCK`,
  "a folder for all, with a FIFO": `mkdir -m 777 ${FOLDER}; mkfifo -m 666 ${FOLDER}/$LOCK`,
  "a folder of its own, that nobody else can enter": `mkdir -m 700 ${FOLDER}; ln -s ${HOME}/file ${FOLDER}/$LOCK`,
  "a folder of its own, with a lock that is held and says that all were refused": `mkdir -m 777 ${FOLDER}; echo x >${FOLDER}/$LOCK; chmod 666 ${FOLDER}/$LOCK; touch -d 2100-01-01 ${FOLDER}/$LOCK; flock ${FOLDER}/$LOCK sleep 3 >/dev/null 2>&1 </dev/null &`,
};

/** What the victim itself might leave in its own folder, by mistake; the lock must not hang on it or change it. */
const OWN: Readonly<Record<string, string>> = {
  "its own folder, with a FIFO": `mkdir -m 700 ${FOLDER}; mkfifo ${FOLDER}/$LOCK`,
  "its own folder, with a link to its file": `mkdir -m 700 ${FOLDER}; ln -s ${HOME}/file ${FOLDER}/$LOCK`,
  "its own folder, with a folder": `mkdir -m 700 ${FOLDER}; mkdir ${FOLDER}/$LOCK`,
};

const LIBRARY = `require(${JSON.stringify(join(ROOT, "shim/lib/library/index.js"))}).ensurePorts({ timeout: 1 })
  .then(console.log, ({ code, message }) => { console.error("portshim: " + message); process.exit(code === "refused" ? 77 : 1) })`;

const STARTS: Readonly<Record<string, readonly string[]>> = {
  launcher: [PORTSHIM, "--timeout=1", "--", "/bin/echo", "started"],
  library: ["/usr/bin/env", "node", "-e", LIBRARY],
};

/** Runs it as the victim, whose host says no; then shows what became of the victim's file. */
function started(argv: readonly string[], plant: string, env: NodeJS.ProcessEnv = {}) {
  for (const path of [HOME, FOLDER, join(PLACE, "run"), join(PLACE, "fifo")])
    rmSync(path, { recursive: true, force: true });
  const before = Date.now();
  const result = inNamespace(
    ["/bin/sh", "-c", `"$@"; status=$?; /bin/cat ${HOME}/file; /bin/ls -A ${HOME}; exit $status`, "sh", ...argv],
    {
      threshold: 1024,
      privileges: ORDINARY,
      prepare: `${SCENE}; ${plant}`,
      env: { PATH: pathWith(26), PORTSHIM_BRIDGE: BRIDGE, ...env },
    },
  );
  return { ...result, ms: Date.now() - before };
}

for (const [name, argv] of Object.entries(STARTS)) {
  const planted = [...Object.entries(PLANTED).map(([what, script]) => [what, as(OTHER, script)] as const)];
  const own = Object.entries(OWN).map(([what, script]) => [what, as(VICTIM, script)] as const);
  test(`the ${name} fails, as it would alone, whatever is in its place in /tmp`, () => {
    const alone = started(argv, ":");
    assert.equal([alone.status, alone.stdout], [77, "precious\nfile\n"], alone.stderr);
    const all = [
      ...planted.map((one) => [...one, alone.stderr] as const),
      ...own.map((one) => [...one, undefined] as const),
    ];
    for (const [what, script, said] of all) {
      const { status, stdout, stderr, ms } = started(argv, script);
      // The launcher can say that it could not note the refusal.
      assert.equal([status, stdout], [77, "precious\nfile\n"], `${what}: ${stderr}`);
      if (said !== undefined) assert.is(stderr, said, what);
      assert.ok(ms < 10_000, `${what}: ${ms} ms`);
    }
  });

  test(`the ${name} uses no XDG_RUNTIME_DIR of another's, or one that others can enter`, () => {
    for (const [what, script] of [
      ["another's", as(OTHER, `mkdir -m 700 ${PLACE}/run; mkfifo -m 666 ${PLACE}/run/$LOCK`)],
      ["another's, for all", as(OTHER, `mkdir -m 777 ${PLACE}/run; ln -s ${HOME}/file ${PLACE}/run/$LOCK`)],
      ["a link", as(OTHER, `ln -s ${HOME} ${PLACE}/run`)],
      ["a FIFO", as(OTHER, `mkfifo ${PLACE}/run`)],
    ] as const) {
      const { status, stdout, ms } = started(argv, script, { XDG_RUNTIME_DIR: `${PLACE}/run` });
      assert.equal([status, stdout], [77, "precious\nfile\n"], what);
      assert.ok(ms < 10_000, `${what}: ${ms} ms`);
    }
  });

  test(`the ${name} touches nothing else in /tmp, /run/user, /var/tmp or /dev/shm, and no abstract socket`, () => {
    const traced = ["/usr/bin/strace", "-f", "-qq", "-e", "trace=%file,bind,connect", ...argv];
    const { stderr } = started(traced, ":");
    const found = stderr.matchAll(/"(\/(?:tmp|run\/user|var\/tmp|dev\/shm)[^"]*)"|sun_path=(@?"[^"]*")/g);
    const paths = new Set([...found].map(([, path, socket]) => path ?? socket ?? ""));
    const links = pathWith(26).split("/node26")[0] as string;
    // The programs themselves, and the folders that they are in.
    const isOurs = (path: string) => [ROOT, links, PLACE].some((one) => path.startsWith(one) || one.startsWith(path));
    const ours = [...paths].filter((path) => !isOurs(path));
    assert.ok(ours.includes(FOLDER), stderr.slice(-3000));
    const known = [FOLDER, `/run/user/${VICTIM}`];
    assert.equal(
      ours.filter((path) => !known.some((one) => path === one || path.startsWith(`${one}/`))),
      [],
    );
  });
}

test.run();
