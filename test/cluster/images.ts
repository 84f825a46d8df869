/** The images that the cluster's pods ask for: made from what is here, loaded under the names of the registries' ones. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { ENTRY_POINT } from "../../scripts/image/app-tree.ts";
import { IMAGE_USER, makeRootTree } from "../../scripts/image/root-tree.ts";
import { type Cluster, toolsFolder } from "./cluster.ts";

const IMAGE_TOOL = join(import.meta.dirname, "image.sh");
const REPOSITORY = "docker.io/bucketmount/bucketmount";

/** The tag that the chart asks for by itself, and another one of the same content to upgrade to. */
export const TAGS = { first: manifest.version, second: `${manifest.version}-next` } as const;

/** A shell and its commands. */
export const BUSYBOX = "docker.io/library/busybox:1.37";

/** Where our image's root file system lies after `loadImages`. */
export function rootTree(cluster: Cluster): string {
  return join(cluster.work, "image");
}

/** The driver, its sidecar and a shell. */
export async function loadImages(cluster: Cluster): Promise<void> {
  const root = rootTree(cluster);
  await rm(root, { recursive: true, force: true });
  makeRootTree(root);
  await load(cluster, `IMAGE_USER=${IMAGE_USER} ${tool("dir", `${REPOSITORY}:${TAGS.first}`, root, ...ENTRY_POINT, "--", "--help")}`);
  await cluster.inside(["ctr", "-n", "k8s.io", "images", "tag", "--force", `${REPOSITORY}:${TAGS.first}`, `${REPOSITORY}:${TAGS.second}`]);
  const provisioner = join(toolsFolder(), "csi-provisioner");
  await load(cluster, tool("bin", "registry.k8s.io/sig-storage/csi-provisioner:v6.3.0", provisioner));
  await load(cluster, tool("busybox", BUSYBOX));
}

/** Makes an image of Debian packages, once a work folder. `setUp` is a shell script that runs in its root folder. */
export async function loadDebianImage(cluster: Cluster, tag: string, packages: readonly string[], setUp: string): Promise<void> {
  const root = join(cluster.work, tag.replaceAll(/[^a-z0-9.-]/g, "_"));
  if (existsSync(root)) return;
  await cluster.shell(`${tool("debian", root, ...packages)} && cd "${root}" && ${setUp}`);
  await load(cluster, tool("dir", tag, root));
}

function tool(...words: readonly string[]): string {
  return ["bash", IMAGE_TOOL, ...words].map((word) => `'${word}'`).join(" ");
}

async function load(cluster: Cluster, make: string): Promise<void> {
  await cluster.shell(`${make} > "$0.tar"; ctr -n k8s.io images import "$0.tar"; rm "$0.tar"`.replaceAll("$0", `${cluster.work}/loading`));
}
