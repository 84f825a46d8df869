/** The images that the cluster's pods ask for: made from what is here, loaded under the names of the registries' ones. */
import { spawnSync } from "node:child_process";
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
  await load(cluster, `IMAGE_USER=${IMAGE_USER} ${imageTool("dir", `${REPOSITORY}:${TAGS.first}`, root, ...ENTRY_POINT, "--", "--help")}`);
  await cluster.inside(["ctr", "-n", "k8s.io", "images", "tag", "--force", `${REPOSITORY}:${TAGS.first}`, `${REPOSITORY}:${TAGS.second}`]);
  const provisioner = join(toolsFolder(), "csi-provisioner");
  await load(cluster, imageTool("bin", "registry.k8s.io/sig-storage/csi-provisioner:v6.3.0", provisioner));
  await load(cluster, imageTool("busybox", BUSYBOX));
}

/** Makes an image of Debian packages, once a work folder. `setUp` is a shell script that runs in its root folder. */
export async function loadDebianImage(cluster: Cluster, tag: string, packages: readonly string[], setUp: string): Promise<void> {
  const root = join(cluster.work, tag.replaceAll(/[^a-z0-9.-]/g, "_"));
  if (existsSync(root)) return;
  outside(`${imageTool("debian", root, ...packages)} && cd "${root}" && ${setUp}`);
  await load(cluster, imageTool("dir", tag, root));
}

/** A command line of image.sh. */
export function imageTool(...words: readonly string[]): string {
  return ["bash", IMAGE_TOOL, ...words].map((word) => `'${word}'`).join(" ");
}

async function load(cluster: Cluster, make: string): Promise<void> {
  const archive = join(cluster.work, "loading.tar");
  outside(`${make} > "${archive}"`);
  await cluster.inside(["ctr", "-n", "k8s.io", "images", "import", archive]);
  await rm(archive);
}

/** Runs a command line on the machine, not in the cluster: from there nothing is to be had. */
function outside(script: string): void {
  const { status, stderr } = spawnSync("bash", ["-ec", script], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (status !== 0) throw new Error(`${script}: exit code ${status}\n${stderr.slice(-3000)}`);
}
