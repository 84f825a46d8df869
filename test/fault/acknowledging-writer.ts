/**
 * A process that changes files in a mounted directory, one after the other, and says of each change when it begins and when the last
 * system call of it was acknowledged. Run as a program: `node acknowledging-writer.ts DIRECTORY SEED`; it works until its input ends.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";

/** `sum` undefined: the name is gone. */
export interface Change {
  readonly number: number;
  readonly name: string;
  readonly sum: string | undefined;
}

export type Said =
  | ({ readonly says: "begins" } & Change)
  | { readonly says: "acknowledged"; readonly number: number }
  /** A change failed: after it the process ends. */
  | { readonly says: "failed"; readonly number: number; readonly message: string };

const NAMES = 8;
/** Most of the files of a build are small; one in eight is larger than what one request carries. */
const SMALL_BYTES = 20_000;
const LARGE_BYTES = 300_000;

export function sumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function say(said: Said): void {
  fs.writeSync(1, `${JSON.stringify(said)}\n`);
}

class Writer {
  readonly #directory: string;
  readonly #random: () => number;
  readonly #contents = new Map<string, Buffer>();
  #number = 0;

  constructor(directory: string, seed: number) {
    this.#directory = directory;
    this.#random = randomOf(seed);
  }

  change(): void {
    const name = `file-${Math.floor(this.#random() * NAMES)}`;
    const path = join(this.#directory, name);
    const old = this.#contents.get(name);
    const kind = this.#random();
    const fresh = this.#content(name);
    if (kind < 0.35) this.#do(name, fresh, () => fs.writeFileSync(path, fresh));
    else if (kind < 0.65) this.#do(name, fresh, () => this.#save(path, fresh));
    else if (kind < 0.8 && old !== undefined) this.#do(name, undefined, () => fs.unlinkSync(path));
    else if (kind < 0.9) this.#do(name, fresh, () => this.#written(path, fresh));
    else this.#do(name, Buffer.concat([old ?? Buffer.alloc(0), fresh]), () => fs.appendFileSync(path, fresh));
  }

  /** As editors and Maven do. */
  #save(path: string, content: Buffer): void {
    fs.writeFileSync(`${path}.tmp`, content);
    fs.renameSync(`${path}.tmp`, path);
  }

  #written(path: string, content: Buffer): void {
    const fd = fs.openSync(path, "w");
    fs.writeSync(fd, content);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }

  #content(name: string): Buffer {
    const bytes = Math.floor(this.#random() * (this.#random() < 0.125 ? LARGE_BYTES : SMALL_BYTES));
    return Buffer.alloc(bytes + 1, `${name} ${this.#number} `);
  }

  #do(name: string, content: Buffer | undefined, work: () => void): void {
    const number = this.#number++;
    say({ says: "begins", number, name, sum: content && sumOf(content) });
    try {
      work();
    } catch (error) {
      say({ says: "failed", number, message: String(error) });
      process.exit(0);
    }
    if (content === undefined) this.#contents.delete(name);
    else this.#contents.set(name, content);
    say({ says: "acknowledged", number });
  }
}

if (process.argv[1] === import.meta.filename) {
  const [directory = "", seed = "0"] = process.argv.slice(2);
  const writer = new Writer(directory, Number(seed));
  // What the directory has from an earlier life is not known here.
  for (const name of fs.readdirSync(directory)) fs.unlinkSync(join(directory, name));
  process.stdin.on("end", () => process.exit(0)).resume();
  const work = () => {
    writer.change();
    setImmediate(work);
  };
  work();
}
