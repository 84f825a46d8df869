/** Starts `bucketmount` processes, from source, and knows afterwards which of them (and of their children) are left. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** An environment variable that children inherit: engines are found by it, whoever started them. */
const MARK = "BUCKETMOUNT_CLUSTER";

export interface Program {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number;
  readonly exited: Promise<number>;
  /** SIGTERM, then SIGKILL after ten seconds. */
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Its output goes to NAME.log here; the folder also marks its processes. */
  readonly dir: string;
}

/** In a process group of its own: a Ctrl-C in the terminal is for the caller, who then ends things in order. */
export function startProgram({ name, args, env, dir }: ProgramOptions): Program {
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(process.execPath, ["-C", "source", MAIN, ...args], {
    env: { ...env, [MARK]: dir },
    stdio: ["ignore", log, log],
    detached: true,
  });
  closeSync(log);
  const exited = new Promise<number>((resolve) => {
    child.once("exit", (code) => resolve(code ?? 1));
    child.once("error", () => resolve(127));
  });
  return { name, logFile, pid: child.pid ?? 0, exited, stop: () => stop(child, exited) };
}

async function stop(child: ChildProcess, exited: Promise<number>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
  child.kill("SIGTERM");
  await exited;
  clearTimeout(force);
}

/** Pids of all living processes that were started for `dir`, directly or by one of ours. */
export function processesOf(dir: string): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((pid) => pid !== process.pid && readProc(pid, "environ").split("\0").includes(`${MARK}=${dir}`));
}

/** A zombie's environment is empty, so it does not count as living. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // gone meanwhile, or a kernel thread
  }
}
