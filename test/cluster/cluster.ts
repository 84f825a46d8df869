/** A cluster of the scripts in this folder, from outside: commands that run in it, and its daemons. */
import { spawn, spawnSync } from "node:child_process";
import { homedir } from "node:os";
import { join } from "node:path";

const SCRIPTS = import.meta.dirname;
/** A command that takes longer hangs, as one does that touches a mount which nobody serves. */
const COMMAND_LIMIT_MS = 15 * 60_000;
/** The longest script runs Kubernetes' own tests. */
const SCRIPT_LIMIT_MS = 3 * 60 * 60_000;

export interface Ran {
  /** The exit code; undefined when a signal ended the command. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where the object store and the Maven mirror are reached: the node's address, from pods and from the node. */
export const NODE_ADDRESS = "10.88.0.1";

/** Where tools.sh has put the cluster's programs. */
export function toolsFolder(): string {
  return process.env["KUBE_BIN"] ?? join(homedir(), ".cache/kube-bin");
}

export class Cluster {
  /** The folder with everything of it. */
  readonly work: string;

  constructor(work: string) {
    this.work = work;
  }

  /** One of the scripts: `script("up")`, `script("svc", "kill", "kubelet")`. Throws when it fails. */
  async script(name: string, ...args: readonly string[]): Promise<string> {
    return succeeded(`${name}.sh`, await this.tryScript(name, ...args));
  }

  /** The same for a script that may fail. */
  async tryScript(name: string, ...args: readonly string[]): Promise<Ran> {
    return run([join(SCRIPTS, `${name}.sh`), this.work, ...args], "", SCRIPT_LIMIT_MS);
  }

  /** Ends the cluster and removes its folder. */
  async remove(): Promise<void> {
    succeeded("down.sh", await run(this.#removal()));
  }

  /** Makes sure that a signal which ends this process (a time limit's, say) ends the cluster too: nobody else can start one before. */
  removeOnSignal(): void {
    process.once("SIGTERM", () => spawnSync("bash", this.#removal(), { stdio: "inherit" }));
  }

  /** The node plugin sealed the directories of pods that were there to the end. */
  #removal(): readonly string[] {
    return ["-ec", 'bash "$0" "$1"; chattr -f -R -i "$1/kubelet/pods" || true; rm -rf "$1"', join(SCRIPTS, "down.sh"), this.work];
  }

  /** A command in the cluster's network, mounts and processes; resolves with its standard output. Throws when it fails. */
  async inside(command: readonly string[], input = ""): Promise<string> {
    return succeeded(command.join(" "), await this.tryInside(command, input));
  }

  /** The same for a command that may fail. */
  async tryInside(command: readonly string[], input = ""): Promise<Ran> {
    return run([join(SCRIPTS, "in.sh"), this.work, ...command], input);
  }

  /** Runs a shell script inside. */
  async shell(script: string): Promise<string> {
    return this.inside(["sh", "-ec", script]);
  }
}

function succeeded(what: string, { code, stdout, stderr }: Ran): string {
  if (code !== 0) throw new Error(`${what.slice(0, 200)}: exit code ${code}\n${(stderr || stdout).slice(-3000)}`);
  return stdout;
}

/** Signals to in.sh alone do not reach what it runs: a command is a process group of its own, and ends as one. */
async function run(args: readonly string[], input = "", limitMs = COMMAND_LIMIT_MS): Promise<Ran> {
  const child = spawn("bash", args, { stdio: ["pipe", "pipe", "pipe"], detached: true, env: { ...process.env, KUBE_BIN: toolsFolder() } });
  const timer = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), limitMs);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  // A command that ends without reading its input is no fault of ours.
  child.stdin.on("error", () => undefined).end(input);
  const code = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  clearTimeout(timer);
  return { code: code ?? undefined, ...output };
}
