/**
 * Another process that keeps files of a mount open. The process that starts the mount's servers must not: between fork and
 * exec the new server closes its copies of such files, and each close waits for an answer of the server it is about to become.
 *
 * As a program it takes `UserCall` messages and answers each with its `UserAnswer`; calls run side by side.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";

type UserCall =
  | { readonly id: number; readonly do: "open"; readonly path: string; readonly flags: string }
  | { readonly id: number; readonly do: "read"; readonly file: number; readonly offset: number; readonly size: number }
  | { readonly id: number; readonly do: "write"; readonly file: number; readonly offset: number; readonly base64: string }
  | { readonly id: number; readonly do: "close"; readonly file: number };

interface UserAnswer {
  readonly id: number;
  readonly value?: string | number;
  readonly error?: string;
}

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

const files = new Map<number, FileHandle>();

async function carryOut(call: UserCall): Promise<string | number> {
  if (call.do === "open") {
    const file = await open(call.path, call.flags);
    files.set(file.fd, file);
    return file.fd;
  }
  const file = files.get(call.file) as FileHandle;
  if (call.do === "read") {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(call.size), 0, call.size, call.offset);
    return buffer.toString("base64", 0, bytesRead);
  }
  if (call.do === "write") return (await file.write(Buffer.from(call.base64, "base64"), 0, null, call.offset)).bytesWritten;
  await file.close();
  return 0;
}

if (import.meta.main) {
  process.on("message", (call: UserCall) => {
    carryOut(call).then(
      (value) => process.send?.({ id: call.id, value }),
      (error: NodeJS.ErrnoException) => process.send?.({ id: call.id, error: error.code ?? error.message }),
    );
  });
}

/** The other process, as a test uses it. Errors carry the errno's name as their message. */
export class MountUser implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<string | number>>();
  #lastId = 0;

  constructor() {
    this.#process = spawn(process.execPath, ["-C", "source", import.meta.filename], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#process.on("message", ({ id, value, error }: UserAnswer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value as string | number);
      else waiting?.reject(new Error(error));
    });
  }

  #ask(call: WithoutId<UserCall>): Promise<string | number> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<string | number>();
    this.#waiting.set(id, waiting);
    this.#process.send({ ...call, id });
    return waiting.promise;
  }

  async open(path: string, flags: string): Promise<number> {
    return (await this.#ask({ do: "open", path, flags })) as number;
  }

  async read(file: number, offset: number, size: number): Promise<Buffer> {
    return Buffer.from((await this.#ask({ do: "read", file, offset, size })) as string, "base64");
  }

  async write(file: number, offset: number, data: string): Promise<number> {
    return (await this.#ask({ do: "write", file, offset, base64: Buffer.from(data).toString("base64") })) as number;
  }

  async close(file: number): Promise<void> {
    await this.#ask({ do: "close", file });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exit;
  }
}
