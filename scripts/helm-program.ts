/** Programs that the chart's tests use: among the cluster's, or in the search path. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = [env["KUBE_BIN"] ?? join(homedir(), ".cache/kube-bin"), ...(env["PATH"] ?? "").split(delimiter)];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Helm; undefined when it is nowhere. */
export function helmProgram(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return findProgram("helm", env);
}

/** The sidecar csi-provisioner; undefined when it is nowhere. */
export function provisionerProgram(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return findProgram("csi-provisioner", env);
}
