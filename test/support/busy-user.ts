/**
 * A process that works by path on a mount without a pause, as the pods of a build do: several workers, each in a folder of its own, write
 * files, read them back, rename, list and remove them. Every answer is checked, and every error is kept.
 *
 * As a program it works until it is told to stop, and then says what it has done.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface BusyReport {
  readonly rounds: number;
  readonly problems: readonly string[];
  /** Path below the mount, and content: written and closed, and still there. */
  readonly kept: Readonly<Record<string, string>>;
}

const WORKERS = 3;
/** So many rounds a file stays; every KEEP_EVERY-th stays for good. */
const STAYS = 4;
const KEEP_EVERY = 7;

class Work {
  rounds = 0;
  working = true;
  readonly problems: string[] = [];
  readonly kept: Record<string, string> = {};

  report(): BusyReport {
    return { rounds: this.rounds, problems: this.problems, kept: this.kept };
  }

  async worker(mount: string, name: string): Promise<void> {
    const dir = join(mount, name);
    await this.#checked("mkdir", () => mkdir(dir));
    for (let i = 0; this.working; i++) await this.#round(dir, name, i);
  }

  async #round(dir: string, name: string, i: number): Promise<void> {
    const content = `${name} ${i} ${"x".repeat(i % 5000)}`;
    const path = join(dir, `file-${i}`);
    await this.#checked(`write ${i}`, () => writeFile(`${path}.tmp`, content));
    await this.#checked(`rename ${i}`, () => rename(`${path}.tmp`, path));
    await this.#checked(`read ${i}`, async () => demand((await readFile(path, "utf8")) === content, "other content"));
    await this.#checked(`stat ${i}`, async () => demand((await stat(path)).size === content.length, "other size"));
    await this.#checked(`list ${i}`, async () => demand((await readdir(dir)).includes(`file-${i}`), "not in the list"));
    this.kept[`${name}/file-${i}`] = content;
    const old = i - STAYS;
    if (old >= 0 && old % KEEP_EVERY !== 0) {
      await this.#checked(`unlink ${old}`, () => unlink(join(dir, `file-${old}`)));
      delete this.kept[`${name}/file-${old}`];
    }
    this.rounds += 1;
  }

  async #checked(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.problems.push(`${what}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
    }
  }
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

if (import.meta.main) {
  const work = new Work();
  const workers = Array.from({ length: WORKERS }, (_, i) => work.worker(process.argv[2] as string, `worker-${i}`));
  process.on("message", (message) => {
    if (message === "stop") work.working = false;
    else process.send?.(work.report());
  });
  await Promise.all(workers);
  process.send?.(work.report(), () => process.disconnect());
}

/** The other process, as a test uses it. */
export class BusyUser implements Disposable {
  readonly #process: ChildProcess;

  constructor(mount: string) {
    this.#process = spawn(process.execPath, ["-C", "source", import.meta.filename, mount], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  /** What it has done so far. It answers while its workers wait for the mount. */
  async report(): Promise<BusyReport> {
    const answer = once(this.#process, "message");
    this.#process.send("report");
    return (await answer)[0] as BusyReport;
  }

  /** Resolves when every operation under way has had its answer. */
  async stop(): Promise<BusyReport> {
    const answer = once(this.#process, "message");
    const exit = once(this.#process, "exit");
    this.#process.send("stop");
    const [report] = (await answer) as [BusyReport];
    await exit;
    return report;
  }

  /** Does not wait for its end: when its mount is not served, that comes with the mount's. */
  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
  }
}
