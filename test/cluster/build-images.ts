/** Images for builds, under the names that the examples ask for: the same tools from Debian and npm. */
import { nodeVersion } from "../../scripts/image/root-tree.ts";
import type { Cluster } from "./cluster.ts";
import { imageTool, loadDebianImage } from "./images.ts";

const USERS = 'echo "build:x:1000:1000::/tmp:/bin/sh" > etc/passwd && mkdir -p tmp usr/bin && chmod 1777 tmp';

export async function loadMavenImage(cluster: Cluster): Promise<void> {
  const packages = ["maven", "openjdk-17-jdk-headless", "busybox-static"];
  // Nothing is set up by extracting packages: neither the alternatives, which are the commands, nor Java's certificates.
  const setUp = `${USERS} && ln -s ../share/maven/bin/mvn usr/bin/mvn && ln -s ../lib/jvm/$(ls usr/lib/jvm | grep -m1 openjdk-)/bin/java usr/bin/java`;
  await loadDebianImage(cluster, "docker.io/library/maven:3.9-eclipse-temurin-21", packages, setUp);
}

export async function loadNpmImage(cluster: Cluster): Promise<void> {
  const packages = ["libc6", "libstdc++6", "libatomic1", "busybox-static"];
  const setUp = [
    USERS,
    imageTool("node", ".", nodeVersion()),
    // npm's own command begins with env.
    "ln -s ../../bin/busybox usr/bin/env",
    "npm install --silent --no-audit --no-fund --global --prefix usr/local npm@11",
  ].join(" && ");
  await loadDebianImage(cluster, "docker.io/library/node:24-slim", packages, setUp);
}
