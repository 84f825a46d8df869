/** Images for builds, under the names that the examples ask for: the same tools from Debian and npm. */
import { nodeVersion } from "../../scripts/image/root-tree.ts";
import type { Cluster } from "./cluster.ts";
import { imageTool, loadDebianImage } from "./images.ts";

const USERS = 'echo "build:x:1000:1000::/tmp:/bin/sh" > etc/passwd && mkdir -p tmp usr/bin && chmod 1777 tmp';

/**
 * Maven itself from Maven Central, as the image of that name has it: Debian's is older, and several builds at once spoil each other's
 * downloads with it (its `.part` files have common names, and the lock on them is let go before its file is deleted).
 */
const MAVEN = "org.apache.maven:apache-maven:3.9.11:tar.gz:bin";

export async function loadMavenImage(cluster: Cluster): Promise<void> {
  const packages = ["openjdk-17-jdk-headless", "busybox-static"];
  const setUp = [
    USERS,
    `mvn --batch-mode --quiet dependency:copy -Dartifact=${MAVEN} -DoutputDirectory="$PWD/tmp"`,
    "mkdir usr/share/maven && tar -xzf tmp/apache-maven-*.tar.gz --strip-components=1 -C usr/share/maven && rm tmp/apache-maven-*",
    "ln -s ../share/maven/bin/mvn usr/bin/mvn",
    // Packages are extracted, not set up: the alternatives, which the command is one of, are missing.
    "ln -s ../lib/jvm/$(ls usr/lib/jvm | grep -m1 openjdk-)/bin/java usr/bin/java",
  ].join(" && ");
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
