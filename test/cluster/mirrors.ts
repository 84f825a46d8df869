/** What builds in the cluster download, which has no way out: fetched outside by the same tools, served by an HTTP server of the node. */
import { spawnSync } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { type Cluster, NODE_ADDRESS } from "./cluster.ts";
import { until } from "./until.ts";

const NAME = "mirror";
const PORT = 8081;
const URL = `http://${NODE_ADDRESS}:${PORT}`;

/** Builds the project in a local repository that then is a mirror of all that such a build needs. Resolves with settings that name it. */
export async function serveMavenMirror(cluster: Cluster, project: string): Promise<string> {
  const [checkout, repository] = [join(cluster.work, "maven-project"), join(cluster.work, NAME, "maven")];
  await cp(join(project, "pom.xml"), join(checkout, "pom.xml"));
  await cp(join(project, "src"), join(checkout, "src"), { recursive: true });
  run(checkout, "mvn", "--batch-mode", "--quiet", `-Dmaven.repo.local=${repository}`, "verify");
  await serve(cluster);
  return `<settings><mirrors><mirror><id>cluster</id><mirrorOf>*</mirrorOf><url>${URL}/maven</url></mirror></mirrors></settings>`;
}

/** Fetches the packages of the lock file in a ConfigMap. Resolves with the URL of a registry that has them. */
export async function serveNpmRegistry(cluster: Cluster, configMap: string): Promise<string> {
  const { data } = parse(await readFile(configMap, "utf8")) as { data: Readonly<Record<string, string>> };
  const lock = JSON.parse(data["package-lock.json"] ?? "{}") as {
    packages: Readonly<Record<string, { resolved?: string; version: string }>>;
  };
  for (const [path, { resolved, version }] of Object.entries(lock.packages)) {
    if (resolved === undefined) continue;
    const folder = dirname(join(cluster.work, NAME, "npm", new globalThis.URL(resolved).pathname));
    await mkdir(folder, { recursive: true });
    run(folder, "npm", "pack", "--silent", `${path.replace(/^.*node_modules\//, "")}@${version}`);
  }
  await serve(cluster);
  return `${URL}/npm/`;
}

/** Ends it: what builds use from now on they have. */
export async function stopMirror(cluster: Cluster): Promise<void> {
  await cluster.script("svc", "stop", NAME);
}

function run(folder: string, command: string, ...args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}\n${stdout}${stderr}`);
}

async function serve(cluster: Cluster): Promise<void> {
  const script = `exec busybox httpd -f -p ${PORT} -h "${join(cluster.work, NAME)}"\n`;
  await writeFile(join(cluster.work, "svc", NAME), script);
  await cluster.script("svc", "restart", NAME);
  await until("the mirror", async () => (await cluster.tryInside(["busybox", "nc", "-w", "1", NODE_ADDRESS, String(PORT)])).code === 0);
}
