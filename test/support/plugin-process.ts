/** `bucketmount controller` and `bucketmount node` as their own processes, with their pages. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pollUntil } from "#node/deadline.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** A machine that compiles something else at the same time starts Node.js slowly. */
const START_MS = 100_000;

export interface PluginProcess {
  readonly pid: number;
  readonly socketPath: string;
  /** Everything that it and its engines wrote. */
  log(): Promise<string>;
  /** A page of its HTTP endpoint. */
  page(path: string): Promise<{ readonly status: number; readonly body: string }>;
  /** SIGTERM; answers the exit code. */
  stop(): Promise<number | null>;
}

export interface PluginStart {
  readonly mode: "controller" | "node";
  /** For the socket and the log; must exist. */
  readonly dir: string;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts the plugin with `--http-endpoint` on a free port; resolves when its pages are served. Throws with its log when it ends before. */
export async function startPlugin({ mode, dir, flags = [], env = {} }: PluginStart): Promise<PluginProcess> {
  const [socketPath, logPath] = [join(dir, `${mode}.sock`), join(dir, `${mode}.log`)];
  const all = ["--endpoint", `unix://${socketPath}`, "--http-endpoint", "127.0.0.1:0", ...flags];
  const fd = openSync(logPath, "a");
  const child = spawn(process.execPath, ["-C", "source", MAIN, mode, ...all], { env: cleanEnvironment(env), stdio: ["ignore", fd, fd] });
  closeSync(fd);
  const log = () => readFile(logPath, "utf8");
  let port: string | undefined;
  const isReady = async () => {
    port = /"port":(\d+),"msg":"health and metrics are served"/.exec(await log())?.[1];
    return port !== undefined || child.exitCode !== null;
  };
  if (!(await pollUntil(START_MS, 20, isReady)) || port === undefined) {
    await end(child);
    throw new Error(`the ${mode} plugin does not serve: ${await log()}`);
  }
  return {
    ...{ pid: child.pid ?? 0, socketPath, log },
    async page(path) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: response.status, body: await response.text() };
    },
    stop: () => end(child),
  };
}

function cleanEnvironment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(AWS_|KUBE|POD_)/.test(name));
  return { ...Object.fromEntries(inherited), ...extra };
}

async function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
  return child.exitCode;
}
