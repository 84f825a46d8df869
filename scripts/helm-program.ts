/** Where Helm is: among the cluster's programs, or in the search path. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Undefined when it is in none of them. */
export function helmProgram(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const folders = [env["KUBE_BIN"] ?? join(homedir(), ".cache/kube-bin"), ...(env["PATH"] ?? "").split(delimiter)];
  return folders.map((folder) => join(folder, "helm")).find((path) => existsSync(path));
}
