import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import Ajv from "ajv";
import * as assert from "uvu/assert";
import { versionOf } from "../../images/lib/release/versions.js";
import { VERSION } from "../../shim/lib/cli/version.js";
import { ELF_AARCH64, ELF_X86_64, elfMachine } from "../elf.js";
import { node, ROOT } from "../need.js";
import { codeOf } from "../page.js";
import { copyCheckout, PARTS, release, removeCopy, SOURCE_DATE_EPOCH } from "../release.js";
import { suite } from "../suite.js";

const test = suite("release", "namespaces", "nodes", "qemu", "packers", "gpg", "manual");

let copies: string[];
let dist: string;
let other: string;

test.before(async () => {
  copies = [copyCheckout("a"), copyCheckout("another folder")];
  // As on another machine: another name, Node, umask, language and time zone.
  const path = { PATH: `${dirname(node(26))}:${process.env.PATH}` };
  const settings = { TZ: "Pacific/Kiritimati", LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8", HOSTNAME: "another" };
  const machine = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c"];
  const script = 'hostname another && umask 077 && exec "$@"';
  [dist, other] = (await Promise.all([
    release(copies[0] as string),
    release(copies[1] as string, { ...path, ...settings }, [...machine, script, "sh"]),
  ])) as [string, string];
});
test.after(() => copies.forEach(removeCopy));

const read = (name: string) => readFileSync(join(dist, name));

/** What a tar archive holds, in its order. */
function listed(...argv: string[]): { mode: string; owner: string; time: number; path: string }[] {
  const lines = execFileSync("tar", ["--numeric-owner", "--full-time", "--utc", "-tvf", ...argv], { encoding: "utf8" });
  return lines
    .trim()
    .split("\n")
    .map((line) => {
      const [mode = "", owner = "", , day = "", time = "", ...path] = line.split(/ +/);
      return { mode, owner, time: Date.parse(`${day}T${time}Z`) / 1000, path: path.join(" ") };
    });
}

/** Unpacks with a command, and calls `use` with the folder. */
function unpacked(argv: (folder: string) => readonly string[], use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "portshim-unpacked-"));
  try {
    const [program = "", ...rest] = argv(folder);
    execFileSync(program, rest);
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("it has every part, and nothing else", () => {
  assert.equal(readdirSync(dist).sort(), ["SHA256SUMS", ...Object.values(PARTS)].sort());
});

for (const name of [...Object.values(PARTS), "SHA256SUMS"]) {
  test(`another machine makes the same bytes: ${name}`, () => {
    assert.ok(read(name).equals(readFileSync(join(other, name))));
  });
}

test("sha256sum --check accepts all of it, and finds a change", () => {
  const check = () => spawnSync("sha256sum", ["--check", "SHA256SUMS"], { cwd: dist, encoding: "utf8" });
  const before = check();
  const files = Object.values(PARTS).sort();
  assert.equal([before.status, before.stdout], [0, files.map((name) => `${name}: OK\n`).join("")]);
  const content = read(PARTS.amd64);
  writeFileSync(join(dist, PARTS.amd64), Buffer.concat([content, Buffer.from("\n")]));
  const after = check();
  writeFileSync(join(dist, PARTS.amd64), content);
  assert.equal([after.status, after.stdout.includes(`${PARTS.amd64}: FAILED\n`)], [1, true]);
});

/** Runs a script in a folder, with variables. */
const shell = (script: string, cwd: string, env: NodeJS.ProcessEnv = {}) =>
  spawnSync("sh", ["-ec", script], { cwd, encoding: "utf8", env: { ...process.env, ...env } });

/** Calls `use` with variables by which gpg and git sign: a key of the test's own stands in for a maintainer's. */
function withKey(use: (env: NodeJS.ProcessEnv) => void): void {
  const home = mkdtempSync(join(tmpdir(), "portshim-gpg-"));
  const [name, email] = ["portshim test", "test@portshim.invalid"];
  const env = {
    GNUPGHOME: home,
    GIT_CONFIG_GLOBAL: "/dev/null",
    ...{ GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email },
  };
  try {
    const generate = `gpg --batch --passphrase '' --quick-generate-key '${name} <${email}>' ed25519 sign never`;
    const key = shell(generate, home, env);
    assert.is(key.status, 0, key.stderr);
    use(env);
  } finally {
    shell("gpgconf --kill all", home, env);
    rmSync(home, { recursive: true });
  }
}

test("gpg signs the checksums, and a user's finds a change of them", () => {
  const sums = join(dist, "SHA256SUMS");
  const content = readFileSync(sums);
  withKey((env) => {
    const verify = () => shell(codeOf("docs/releasing.md", "gpg --verify"), dist, env);
    try {
      const signed = shell(codeOf("docs/releasing.md", "gpg --armor"), dirname(dist), env);
      assert.is(signed.status, 0, signed.stderr);
      const good = verify();
      assert.is(good.status, 0, good.stderr);
      assert.match(good.stderr, 'Good signature from "portshim test ');
      assert.match(good.stdout, `${PARTS.npm}: OK\n`);
      // What is listed still has its checksum.
      writeFileSync(sums, String(content).split("\n").slice(1).join("\n"));
      const bad = verify();
      assert.is(bad.status, 1);
      assert.match(bad.stderr, "BAD signature");
    } finally {
      writeFileSync(sums, content);
      rmSync(`${sums}.asc`, { force: true });
    }
  });
});

test("npm publishes both tarballs as they are; a stand-in for its registry, which needs an account", async () => {
  const published: [path: string | undefined, tarball: Buffer][] = [];
  const registry = createServer(async (request, response) => {
    const body = await text(request);
    if (request.method === "PUT") {
      const [{ data }] = Object.values(JSON.parse(body)._attachments) as [{ data: string }];
      published.push([request.url, Buffer.from(data, "base64")]);
    }
    response.writeHead(request.method === "PUT" ? 201 : 404).end("{}");
  });
  await new Promise<void>((listening) => registry.listen(0, "127.0.0.1", listening));
  const host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), "portshim-npm-"));
  try {
    writeFileSync(join(folder, "npmrc"), `//${host}/:_authToken=test\n`);
    const commands = codeOf("docs/releasing.md", "npm publish").replaceAll("VERSION", VERSION);
    const settings = { npm_config_registry: `http://${host}/`, npm_config_userconfig: join(folder, "npmrc") };
    const child = spawn("sh", ["-ec", commands], {
      cwd: dirname(dist),
      env: { ...process.env, ...settings, npm_config_cache: folder },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    const said = await text(child.stderr);
    assert.is(await ended, 0, said);
    assert.equal(
      published.map(([path]) => path),
      ["/portshim", "/portshim-images"],
    );
    assert.ok(published[0]?.[1].equals(read(PARTS.npm)) && published[1]?.[1].equals(read(PARTS.images)));
  } finally {
    registry.close();
    rmSync(folder, { recursive: true });
  }
});

const share = (folder: string) =>
  readdirSync(join(folder, "share"), { recursive: true, encoding: "utf8" })
    .map((name) => `share/${name}`)
    .filter((name) => statSync(join(folder, name)).isFile());

for (const [architecture, elf] of [
  ["amd64", ELF_X86_64],
  ["arm64", ELF_AARCH64],
] as const) {
  test(`the tarball for ${architecture} is a prefix: launcher, helper, manual pages, completions, licence`, () => {
    const top = `portshim-${VERSION}-linux-${architecture}/`;
    const entries = listed(join(dist, PARTS[architecture]));
    for (const { mode, owner, time, path } of entries) {
      assert.ok(path.startsWith(top), path);
      const expected = path.endsWith("/") ? "drwxr-xr-x" : path === `${top}bin/portshim` ? "-rwxr-xr-x" : "-rw-r--r--";
      assert.equal([mode, owner, time], [expected, "0/0", SOURCE_DATE_EPOCH], path);
    }
    const files = entries
      .map(({ path }) => path.slice(top.length))
      .filter((path) => path !== "" && !path.endsWith("/"));
    const helper = files.filter((path) => path.startsWith("lib/portshim/"));
    assert.ok(helper.includes("lib/portshim/main.js") && helper.every((path) => path.endsWith(".js")));
    assert.not(helper.some((path) => path.startsWith("lib/portshim/library/")));
    const rest = files.filter((path) => !helper.includes(path)).sort();
    const shared = share(join(copies[0] as string, "shim"));
    for (const page of ["portshim", "portshim-check", "portshim-persist", "portshim-guard"])
      assert.ok(shared.includes(`share/man/man1/${page}.1`), page);
    assert.equal(rest, ["bin/portshim", ...shared, "share/licenses/portshim/LICENSE"].sort());
    unpacked(
      (folder) => ["tar", "-C", folder, "-xzf", join(dist, PARTS[architecture]), "--strip-components=1"],
      (folder) => {
        assert.is(elfMachine(readFileSync(join(folder, "bin", "portshim"))), elf);
        const run = architecture === "amd64" ? [] : ["qemu-aarch64-static"];
        const [program = "", ...argv] = [...run, join(folder, "bin", "portshim"), "--", "true"];
        const asRoot = ["--user", "--map-current-user", "--net", program, ...argv];
        const started = spawnSync("unshare", asRoot, {
          encoding: "utf8",
          env: { PATH: process.env.PATH, PORTSHIM_START: "1024" },
        });
        assert.equal([started.status, started.stderr], [0, ""]);
        const manual = { ...process.env, MANPATH: join(folder, "share", "man") };
        const found = spawnSync("man", ["-w", "portshim-persist"], { encoding: "utf8", env: manual }).stdout;
        assert.is(found, `${join(folder, "share", "man", "man1", "portshim-persist.1")}\n`);
      },
    );
  });
}

for (const [workspace, part] of [
  ["portshim", PARTS.npm],
  ["portshim-images", PARTS.images],
] as const) {
  test(`${part} holds what npm packs, with its modes`, () => {
    const argv = ["pack", "--dry-run", "--json", "--ignore-scripts", `--workspace=${workspace}`];
    const packed = JSON.parse(execFileSync("npm", argv, { cwd: copies[0], encoding: "utf8" }));
    const { files } = Array.isArray(packed) ? packed[0] : packed[workspace];
    const wanted = files.map(({ path, mode }: { path: string; mode: number }) => [
      `package/${path}`,
      (mode & 0o100) === 0 ? "-rw-r--r--" : "-rwxr-xr-x",
    ]);
    const found = listed(join(dist, part)).filter(({ path }) => !path.endsWith("/"));
    assert.equal(found.map(({ path, mode }) => [path, mode]).sort(), wanted.sort());
    assert.ok(!found.some(({ path }) => path.includes("release/")));
  });
}

test("the OCI archive: one image for both platforms, with the Containerfile's labels, and every digest is right", () => {
  unpacked(
    (folder) => ["tar", "-C", folder, "-xf", join(dist, PARTS.oci)],
    (folder) => {
      const json = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
      const blob = ({ digest, size }: { digest: string; size: number }) => {
        const path = `blobs/${digest.replace(":", "/")}`;
        assert.is(execFileSync("sha256sum", [join(folder, path)], { encoding: "utf8" }).slice(0, 64), digest.slice(7));
        assert.is(statSync(join(folder, path)).size, size);
        return path;
      };
      assert.equal(json("oci-layout"), { imageLayoutVersion: "1.0.0" });
      const [image, ...others] = json("index.json").manifests;
      assert.is(others.length, 0);
      const platforms = json(blob(image)).manifests.map(
        (manifest: { digest: string; size: number; platform: object }) => {
          const { config, layers } = json(blob(manifest));
          const { architecture, os, config: settings, rootfs } = json(blob(config));
          assert.equal(manifest.platform, { architecture, os });
          const plain = execFileSync("gzip", ["-dc", join(folder, blob(layers[0]))], { maxBuffer: 2 ** 24 });
          const sum = execFileSync("sha256sum", { input: plain, encoding: "utf8" }).slice(0, 64);
          assert.equal([layers.length, rootfs.diff_ids], [1, [`sha256:${sum}`]]);
          const containerfile = readFileSync(join(ROOT, "Containerfile"), "utf8");
          const labels = Object.entries(settings.Labels).map(([name, value]) => `${name}="${value}"`);
          assert.is(labels.length, 4);
          for (const label of labels) assert.ok(containerfile.includes(label), label);
          return `${os}/${architecture}`;
        },
      );
      assert.equal(platforms, ["linux/amd64", "linux/arm64"]);
    },
  );
});

/** What SPDX 2.3 requires, of the fields that we use; its own schema is in no package. */
const id = { type: "string", pattern: "^SPDXRef-[A-Za-z0-9.-]+$" };
const strings = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { type: "string", minLength: 1 }]));
const SPDX = {
  type: "object",
  required: [
    "spdxVersion",
    "dataLicense",
    "SPDXID",
    "name",
    "documentNamespace",
    "creationInfo",
    "packages",
    "relationships",
  ],
  additionalProperties: false,
  properties: {
    spdxVersion: { const: "SPDX-2.3" },
    dataLicense: { const: "CC0-1.0" },
    SPDXID: { const: "SPDXRef-DOCUMENT" },
    name: { type: "string" },
    documentNamespace: { type: "string", pattern: "^[a-z]+:[^#\\s]+$" },
    creationInfo: {
      type: "object",
      required: ["created", "creators"],
      properties: {
        created: { type: "string", pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$" },
        creators: { type: "array", minItems: 1, items: { type: "string", pattern: "^(Person|Organization|Tool): " } },
      },
    },
    packages: {
      type: "array",
      items: {
        type: "object",
        required: ["SPDXID", "name", "versionInfo", "downloadLocation", "filesAnalyzed", "licenseConcluded"],
        additionalProperties: false,
        properties: {
          SPDXID: id,
          ...strings("name", "versionInfo", "packageFileName", "licenseConcluded", "licenseDeclared", "copyrightText"),
          downloadLocation: { const: "NOASSERTION" },
          filesAnalyzed: { const: false },
          checksums: {
            type: "array",
            items: {
              oneOf: [
                { properties: { algorithm: { const: "SHA256" }, checksumValue: { pattern: "^[0-9a-f]{64}$" } } },
                { properties: { algorithm: { const: "SHA512" }, checksumValue: { pattern: "^[0-9a-f]{128}$" } } },
              ],
            },
          },
          externalRefs: {
            type: "array",
            minItems: 1,
            items: {
              type: "object",
              required: ["referenceCategory", "referenceType", "referenceLocator"],
              properties: {
                referenceCategory: { const: "PACKAGE-MANAGER" },
                referenceType: { const: "purl" },
                referenceLocator: { type: "string", pattern: "^pkg:(npm|deb/debian)/[^\\s@]+@[^\\s@]+$" },
              },
            },
          },
        },
      },
    },
    relationships: {
      type: "array",
      items: {
        type: "object",
        required: ["spdxElementId", "relationshipType", "relatedSpdxElement"],
        properties: {
          spdxElementId: id,
          relationshipType: { enum: ["DESCRIBES", "DEPENDS_ON", "STATIC_LINK", "BUILD_TOOL_OF"] },
          relatedSpdxElement: id,
        },
      },
    },
  },
};

interface Bill {
  packages: { SPDXID: string; name: string; versionInfo: string; licenseConcluded: string }[];
  relationships: { spdxElementId: string; relationshipType: string; relatedSpdxElement: string }[];
}

test("the bill of materials is SPDX 2.3, and names musl and every dependency that npm would install", () => {
  const bill: Bill = JSON.parse(String(read(PARTS.sbom)));
  const validate = new Ajv({ strict: false }).compile(SPDX);
  assert.ok(validate(bill), JSON.stringify(validate.errors));
  const byId = new Map(bill.packages.map((part) => [part.SPDXID, part]));
  assert.is(byId.size, bill.packages.length);
  const related = (type: string) =>
    bill.relationships
      .filter(({ relationshipType }) => relationshipType === type)
      .map(
        ({ spdxElementId, relatedSpdxElement }) =>
          [byId.get(spdxElementId)?.name, byId.get(relatedSpdxElement)] as const,
      );
  const described = related("DESCRIBES").map(([, part]) => part?.name);
  assert.equal(described, ["portshim", "portshim-images"]);
  const linked = related("STATIC_LINK").map(([from, part]) => [from, part?.name, part?.licenseConcluded]);
  assert.equal(linked, [
    ["portshim", "musl-dev", "MIT"],
    ["portshim", "musl-dev", "MIT"],
  ]);
  const tools = bill.relationships
    .filter(({ relationshipType }) => relationshipType === "BUILD_TOOL_OF")
    .map(({ spdxElementId }) => byId.get(spdxElementId)?.name);
  for (const tool of ["typescript", "gzip", "dpkg", "rpm"]) assert.ok(tools.includes(tool), tool);
  assert.ok(
    tools.some((name) => /^gcc-\d+$/.test(name ?? "")) && tools.some((name) => /^gcc-\d+-aarch64/.test(name ?? "")),
  );

  const list = ["ls", "--all", "--long", "--parseable", "--omit=dev", "--workspace=portshim-images"];
  const installed = spawnSync("npm", list, { cwd: ROOT, encoding: "utf8" }).stdout.trim().split("\n");
  const wanted = installed
    .map((line) => line.split(":")[1] as string)
    .filter((name) => !/^(portshim-workspace|portshim-images|portshim)(@|$)/.test(name));
  const found = related("DEPENDS_ON").map(([, part]) => `${part?.name}@${part?.versionInfo}`);
  const ours = new Set(found.filter((name) => name !== `portshim@${VERSION}`));
  assert.ok(wanted.length > 20, wanted.join());
  assert.equal([...ours].sort(), [...new Set(wanted)].sort());
  assert.is(
    bill.packages.filter(
      ({ SPDXID, licenseConcluded }) => SPDXID.startsWith("SPDXRef-npm-") && licenseConcluded === "NOASSERTION",
    ).length,
    0,
  );
});

test("rpm installs the package, verifies it, and removes all of it", () => {
  const root = mkdtempSync(join(tmpdir(), "portshim-rpm-root-"));
  try {
    const rpm = (...argv: string[]) =>
      spawnSync("unshare", ["--user", "--map-root-user", "rpm", "--root", root, ...argv], {
        encoding: "utf8",
      });
    const must = (...argv: string[]) => {
      const { status, stdout, stderr } = rpm(...argv);
      assert.equal([status, stdout, stderr], [0, "", ""], argv.join(" "));
    };
    mkdirSync(join(root, "usr"));
    must("--initdb");
    must("--install", "--force-debian", join(dist, PARTS.rpm));
    must("--verify", "portshim");
    const launcher = join(root, "usr", "bin", "portshim");
    const version = spawnSync("unshare", ["--user", "--map-current-user", "--net", launcher, "--version"], {
      encoding: "utf8",
    });
    assert.equal([version.status, version.stdout], [0, `portshim ${VERSION}\n`]);
    assert.is(rpm("--query", "--recommends", "portshim").stdout, "nodejs >= 1:20\n");
    assert.is(rpm("--query", "--licensefiles", "portshim").stdout, "/usr/share/licenses/portshim/LICENSE\n");
    must("--erase", "--force-debian", "portshim");
    const left = readdirSync(join(root, "usr"), { recursive: true, encoding: "utf8" });
    assert.equal(
      left.filter(
        (path) =>
          path.includes("portshim") || (statSync(join(root, "usr", path)).isFile() && !path.startsWith("lib/sysimage")),
      ),
      [],
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("the packages for arm64 hold the launcher for it", () => {
  const field = (name: string) =>
    execFileSync("dpkg-deb", ["--field", join(dist, PARTS.debArm64), name], { encoding: "utf8" });
  assert.equal([field("Architecture"), field("Recommends")], ["arm64\n", "nodejs (>= 20)\n"]);
  const format = "%{ARCH} %{BUILDHOST} %{BUILDTIME}\n[%{FILENAMES} %{FILEDIGESTS}\n]";
  const [head, ...digests] = execFileSync("rpm", ["-qp", "--queryformat", format, join(dist, PARTS.rpmArm64)], {
    encoding: "utf8",
  }).split("\n");
  assert.is(head, `aarch64 localhost ${SOURCE_DATE_EPOCH}`);
  unpacked(
    (folder) => ["dpkg-deb", "--extract", join(dist, PARTS.debArm64), folder],
    (folder) => {
      const launcher = join(folder, "usr", "bin", "portshim");
      assert.is(elfMachine(readFileSync(launcher)), ELF_AARCH64);
      const [sum] = execFileSync("sha256sum", [launcher], { encoding: "utf8" }).split(" ");
      assert.ok(digests.includes(`/usr/bin/portshim ${sum}`));
      const manual = join(folder, "usr", "share", "man");
      const env = { ...process.env, MANPATH: manual };
      const found = spawnSync("man", ["-w", "portshim-check"], { encoding: "utf8", env }).stdout;
      assert.is(found, `${join(manual, "man1", "portshim-check.1.gz")}\n`);
    },
  );
});

const page = readFileSync(join(ROOT, "docs", "releasing.md"), "utf8");

test("the commands of docs/releasing.md set a new version everywhere but in the changelog, which is named; then they tag and make it", () => {
  const block = codeOf("docs/releasing.md", "npm version");
  const commands = block.replaceAll("0.1.0", VERSION).replaceAll("0\\.1\\.0", VERSION);
  const folder = copyCheckout("version");
  cpSync(join(ROOT, ".gitignore"), join(folder, ".gitignore"));
  try {
    withKey((env) => {
      const must = (script: string) => {
        const done = shell(script, folder, { ...env, npm_config_offline: "true" });
        assert.is(done.status, 0, done.stderr);
        return done;
      };
      must("git init --quiet && git add --all && git commit --quiet --message=before");
      must(commands);
      assert.throws(
        () => versionOf(folder),
        new RegExp(`^shim/package.json has version 9\\.8\\.7, but CHANGELOG.md has ${VERSION}$`),
      );
      const changelog = join(folder, "CHANGELOG.md");
      writeFileSync(
        changelog,
        readFileSync(changelog, "utf8").replace(`## ${VERSION} `, `## 9.8.7 - 2027-01-01\n\n## ${VERSION} `),
      );
      assert.is(versionOf(folder), "9.8.7");
      assert.not.match(readFileSync(join(folder, "package-lock.json"), "utf8"), /"resolved": "[^"]*:/);
      const { stderr } = must(codeOf("docs/releasing.md", "git commit"));
      assert.not.match(stderr, "Not to be published");
      assert.ok(readdirSync(join(folder, "dist")).includes("portshim-9.8.7.tgz"));
      assert.match(must("git tag --verify v9.8.7").stderr, 'Good signature from "portshim test ');
    });
  } finally {
    removeCopy(folder);
  }
});

test("docs/releasing.md names every part", () => {
  const named = Object.values(PARTS).map((name) => name.replace(VERSION, "VERSION"));
  for (const name of [...named, "SHA256SUMS"]) assert.ok(page.includes(name), name);
});

test.run();
