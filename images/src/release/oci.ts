import { createHash } from "node:crypto";
import type { ContextFile } from "../context.js";
import { HELPER, helperFiles, LAUNCHER, launcherFile } from "../shim.js";
import { gzip, tar } from "./archive.js";
import { ARCHITECTURES, type Architecture } from "./prefix.js";

const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const json = (value: object) => Buffer.from(JSON.stringify(value));

/** The files of an OCI image layout: what Containerfile builds, for each architecture, below one index. */
export async function layout(labels: Record<string, string>, date: Date): Promise<ContextFile[]> {
  const files: ContextFile[] = [];
  const add = (path: string, content: Buffer) => files.push({ path, content, executable: false });
  const blob = (mediaType: string, content: Buffer) => {
    const digest = sha256(content);
    add(`blobs/sha256/${digest}`, content);
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${digest}`, size: content.length };
  };

  async function manifest(architecture: Architecture) {
    const platform = { architecture: architecture.name, os: "linux" };
    const launcher = launcherFile({ system: "linux", architecture: architecture.name }, LAUNCHER.slice(1));
    // As Containerfile and `portshim-images build layer` date it: the same portshim is the same layer, release or not.
    const layer = await tar([launcher, ...helperFiles(HELPER.slice(1))], new Date(0));
    const created = date.toISOString();
    const config = blob(
      "config.v1+json",
      json({
        created,
        ...platform,
        config: { Labels: labels },
        rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
        history: [{ created, created_by: "npm run release" }],
      }),
    );
    const layers = [blob("layer.v1.tar+gzip", gzip(layer))];
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    return { ...blob("manifest.v1+json", json({ schemaVersion: 2, mediaType, config, layers })), platform };
  }

  const manifests = [];
  for (const architecture of ARCHITECTURES) manifests.push(await manifest(architecture));
  const mediaType = "application/vnd.oci.image.index.v1+json";
  // An index in the index: the archive holds one image, of which podman and skopeo choose the platform.
  const image = {
    ...blob("index.v1+json", json({ schemaVersion: 2, mediaType, manifests, annotations: labels })),
    annotations: {
      "org.opencontainers.image.ref.name": `localhost/portshim:${labels["org.opencontainers.image.version"]}`,
    },
  };
  add("index.json", json({ schemaVersion: 2, mediaType, manifests: [image] }));
  add("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  return files;
}

/** The labels of a Containerfile. */
export function labelsOf(containerfile: string): Record<string, string> {
  return Object.fromEntries(
    [...containerfile.matchAll(/(org\.opencontainers\.[\w.]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
}
