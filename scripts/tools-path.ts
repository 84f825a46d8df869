/** The environment in which the project's own tools are found first, also when a script is started without npm. */
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));

export function withTools(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, PATH: [BIN, env["PATH"]].filter(Boolean).join(delimiter) };
}
