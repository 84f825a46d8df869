/**
 * The image's whole root file system, made without an image builder or a registry of images: what the Dockerfile's base has, from
 * Debian's packages, and Node.js from npm. For tests, on the processor that they run on.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cpu, makeAppTree } from "./app-tree.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const IMAGE_TOOL = join(PROJECT, "test/cluster/image.sh");

/** What Node.js links to. */
const DEBIAN_PACKAGES = ["libc6", "libstdc++6", "libatomic1"];

/** Who the program runs as when a pod says nothing else; the Dockerfile's USER says the same. */
export const IMAGE_USER = "65532:65532";
const USERS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUPS = "root:x:0:\nnonroot:x:65532:\n";

/** The version of Node.js that the tests run on and the image holds. */
export function nodeVersion(): string {
  const lock = JSON.parse(readFileSync(join(PROJECT, "package-lock.json"), "utf8")) as { packages: Record<string, { version: string }> };
  const version = lock.packages["node_modules/node"]?.version;
  if (version === undefined) throw new Error("package-lock.json names no version of the package node");
  return version;
}

/** Fills the new folder `root`. Throws when a step fails. */
export function makeRootTree(root: string): void {
  imageTool("debian", root, ...DEBIAN_PACKAGES);
  imageTool("node", root, nodeVersion());
  for (const folder of ["etc", "tmp", "home/nonroot", "var/lib/bucketmount"]) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, "etc/passwd"), USERS);
  writeFileSync(join(root, "etc/group"), GROUPS);
  makeAppTree(join(root, "app"), process.arch as Cpu);
}

function imageTool(...args: readonly string[]): void {
  const { status, error } = spawnSync("bash", [IMAGE_TOOL, ...args], { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`image.sh ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}`);
}
