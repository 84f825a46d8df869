/** A process of programs/obey.py: one that makes the system calls that it is told to make, one after the other, and tells what came of each. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

const PROGRAM = join(import.meta.dirname, "programs/obey.py");

export interface Told {
  readonly do: string;
  readonly [word: string]: unknown;
}

export interface Answer {
  /** "ok", what the call gave, or the name of its errno. */
  readonly result: string;
  /** With `watch`: what the call named, as it is after it. */
  readonly seen?: readonly string[];
  /** Of `tree`: by path. */
  readonly tree?: Readonly<Record<string, string>>;
}

export class ObeyingProcess implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting: PromiseWithResolvers<Answer>[] = [];
  #said = "";

  constructor() {
    this.#process = spawn("python3", [PROGRAM], { cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#waiting.shift()?.resolve(JSON.parse(line) as Answer));
    this.#process.stderr.on("data", (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-4000);
    });
    this.#process.stdin.on("error", () => undefined);
    this.#process.once("close", (code, signal) => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`the process ended with ${signal ?? code}: ${this.#said}`));
    });
  }

  /** Rejects when the process ends in place of an answer. */
  ask(told: Told): Promise<Answer> {
    const answer = Promise.withResolvers<Answer>();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) throw new Error(`the process has ended: ${this.#said}`);
    this.#waiting.push(answer);
    this.#process.stdin.write(`${JSON.stringify(told)}\n`);
    return answer.promise;
  }

  /** Works in `root` from now on, as this user, with nothing open. */
  async enter(root: string, uid: number): Promise<void> {
    await this.ask({ do: "enter", root, uid });
  }

  /** Closes what is open and is no longer in the folder. What came of each close, by slot. */
  async leave(): Promise<string> {
    return (await this.ask({ do: "leave" })).result;
  }

  /** The tree below the folder. `stored`: without what is true on one host alone. */
  async tree(stored: boolean): Promise<Readonly<Record<string, string>>> {
    return (await this.ask({ do: "tree", stored })).tree ?? {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, "exit");
    this.#process.stdin.end();
    await exit;
  }
}
