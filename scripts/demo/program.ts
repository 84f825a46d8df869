/** Starts `bucketmount` processes, from source, and knows afterwards which of them (and of their children) are left. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
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

/** Pids of all living processes that were started for `dir`, directly or by one of ours, or that hold a file below it open. */
export function processesOf(dir: string): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((pid) => pid !== process.pid && (holdsFileBelow(pid, dir) || carriesMark(pid, dir)));
}

function holdsFileBelow(pid: number, dir: string): boolean {
  return list(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

/**
 * A zombie's environment is empty, so it does not count as living. One with a thread that waits in the kernel (state D, proc(5)) is not
 * asked: reading its environment waits for the same lock, and a process that hangs on somebody's dead mount would take us with it.
 */
function carriesMark(pid: number, dir: string): boolean {
  const stats = list(`/proc/${pid}/task`).map((thread) => text(`/proc/${pid}/task/${thread}/stat`));
  const waits = stats.some((stat) => stat.slice(stat.lastIndexOf(")") + 2).startsWith("D"));
  return !waits && text(`/proc/${pid}/environ`).split("\0").includes(`${MARK}=${dir}`);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // gone meanwhile
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // gone meanwhile, or a kernel thread
  }
}
