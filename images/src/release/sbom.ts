import { createHash } from "node:crypto";

/** A part that is shipped, or that made what is shipped. */
interface Part {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** A package URL. */
  readonly purl: string;
  /** In hexadecimal, of what is shipped or was fetched. */
  readonly checksum?: { readonly algorithm: "SHA256" | "SHA512"; readonly checksumValue: string };
  readonly file?: string;
}

/** How a part belongs to another, in SPDX's words. */
type Relation = readonly [from: Part, relation: "DEPENDS_ON" | "STATIC_LINK" | "BUILD_TOOL_OF", to: Part];

/** The packages of package-lock.json. */
export interface Lock {
  readonly packages: Readonly<Record<string, Locked>>;
}
interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** One of our npm packages. */
export interface OwnPackage {
  readonly name: string;
  readonly version: string;
  /** Its tarball's name and content. */
  readonly file: string;
  readonly content: Buffer;
}

/** A Debian package that the build used. */
export interface DebianTool {
  readonly name: string;
  readonly version: string;
}

/** What the bill of materials tells of. */
export interface Materials {
  readonly shim: OwnPackage;
  readonly images: OwnPackage;
  readonly lock: Lock;
  /** The licence that the package in a folder of package-lock.json declares, if package-lock.json does not have it. */
  licenceOf(folder: string): string;
  readonly typescript: string;
  /** musl, which is in the launchers, by its Debian version, for each architecture. */
  readonly musl: readonly { readonly architecture: string; readonly version: string }[];
  readonly tools: readonly DebianTool[];
  readonly date: Date;
}

/** The bill of materials, as SPDX 2.3 in JSON. The same materials give the same text. */
export function billOfMaterials({ shim, images, lock, licenceOf, typescript, musl, tools, date }: Materials): string {
  const ours = [shim, images].map(own);
  const [portshim, portshimImages] = ours as [Part, Part];
  const relations: Relation[] = [
    [portshimImages, "DEPENDS_ON", portshim],
    ...musl.map(
      ({ architecture, version }): Relation => [
        portshim,
        "STATIC_LINK",
        { ...debian("musl-dev", version, architecture), license: "MIT" },
      ],
    ),
    ...dependencies({ lock, licenceOf }, "images", portshimImages, new Map()),
    [npm("typescript", typescript, { license: "Apache-2.0" }), "BUILD_TOOL_OF", portshim],
    ...tools.map(({ name, version }): Relation => [debian(name, version, "amd64"), "BUILD_TOOL_OF", portshim]),
  ];
  const parts = new Map(
    [...ours, ...relations.flatMap(([from, , to]) => [from, to])].map((part) => [idOf(part), part]),
  );
  const body = {
    packages: [...parts].map(([SPDXID, { name, version, license, purl, checksum, file }]) => ({
      SPDXID,
      name,
      versionInfo: version,
      ...(file === undefined ? {} : { packageFileName: file }),
      downloadLocation: "NOASSERTION",
      filesAnalyzed: false,
      ...(checksum === undefined ? {} : { checksums: [checksum] }),
      licenseConcluded: license,
      licenseDeclared: license,
      copyrightText: "NOASSERTION",
      externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
    })),
    relationships: [
      ...ours.map((part) => related("SPDXRef-DOCUMENT", "DESCRIBES", idOf(part))),
      ...relations.map(([from, relation, to]) => related(idOf(from), relation, idOf(to))),
    ],
  };
  const digest = createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 32);
  const head = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `portshim-${shim.version}`,
    // What the specification proposes for those without a domain: a name, not an address.
    documentNamespace: `https://spdx.org/spdxdocs/portshim-${shim.version}-${digest}`,
    creationInfo: {
      created: date.toISOString().replace(/\.\d+Z$/, "Z"),
      creators: ["Organization: the portshim authors"],
    },
  };
  return `${JSON.stringify({ ...head, ...body }, undefined, 2)}\n`;
}

const related = (spdxElementId: string, relationshipType: string, relatedSpdxElement: string) => ({
  spdxElementId,
  relationshipType,
  relatedSpdxElement,
});

const idOf = ({ purl }: Part) => `SPDXRef-${purl.replace(/^pkg:/, "").replace(/[^A-Za-z0-9.]+/g, "-")}`;

function own({ name, version, file, content }: OwnPackage): Part {
  const checksum = { algorithm: "SHA256" as const, checksumValue: createHash("sha256").update(content).digest("hex") };
  return npm(name, version, { license: "MIT", file, checksum });
}

function npm(name: string, version: string, rest: Omit<Part, "name" | "version" | "purl">): Part {
  return { name, version, purl: `pkg:npm/${name.replace("@", "%40")}@${version}`, ...rest };
}

/** The licence of a tool is not that of what it makes. */
function debian(name: string, version: string, architecture: string): Part {
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`;
  return { name, version, purl, license: "NOASSERTION" };
}

/** Everything that the package in this folder of package-lock.json needs when it runs. */
function dependencies(
  from: Pick<Materials, "lock" | "licenceOf">,
  folder: string,
  dependent: Part,
  known: Map<string, Part>,
): Relation[] {
  const { packages } = from.lock;
  const locked = packages[folder] ?? {};
  const names = Object.keys({ ...locked.dependencies, ...locked.optionalDependencies }).sort();
  return names.flatMap((name): Relation[] => {
    const found = resolve(from.lock, folder, name);
    // A workspace's is a link, and ours.
    if (found === undefined || packages[found]?.link === true) return [];
    const before = known.get(found);
    if (before !== undefined) return [[dependent, "DEPENDS_ON", before]];
    const part = fetched(name, { license: from.licenceOf(found), ...packages[found] });
    known.set(found, part);
    return [[dependent, "DEPENDS_ON", part], ...dependencies(from, found, part, known)];
  });
}

/** The folder from which a package in this one gets another, as Node looks for it: its own, and all above it. */
function resolve(lock: Lock, folder: string, name: string): string | undefined {
  const nested = `node_modules/${name}`;
  const above = folder.split("/node_modules/");
  const folders = above.map((_, index) => above.slice(0, above.length - index).join("/node_modules/"));
  return [...folders.map((path) => `${path}/${nested}`), nested].find((path) => path in lock.packages);
}

function fetched(name: string, { version = "", license = "", integrity = "" }: Locked): Part {
  const [, sum] = /^sha512-(\S+)$/.exec(integrity) ?? [];
  if (sum === undefined) throw new Error(`package-lock.json has no checksum of ${name}`);
  const checksumValue = Buffer.from(sum, "base64").toString("hex");
  return npm(name, version, { license, checksum: { algorithm: "SHA512", checksumValue } });
}
