/** Reads <linux/fuse.h> (Debian: linux-libc-dev): structs as a C compiler lays them out, opcodes, flags, version. */
import { readFileSync } from "node:fs";

const PATH = "/usr/include/linux/fuse.h";

const WIDTH: Readonly<Record<string, number>> = {
  uint64_t: 8,
  int64_t: 8,
  uint32_t: 4,
  int32_t: 4,
  uint16_t: 2,
  int16_t: 2,
  uint8_t: 1,
  char: 1,
};

export interface Layout {
  readonly offsets: Readonly<Record<string, number>>;
  readonly size: number;
}

export interface FuseHeader {
  readonly minor: number;
  readonly structs: ReadonlyMap<string, Layout>;
  /** enum fuse_opcode, without the FUSE_ prefix. */
  readonly opcodes: ReadonlyMap<string, number>;
  /** enum fuse_notify_code, without FUSE_NOTIFY_. */
  readonly notices: ReadonlyMap<string, number>;
  /** The bit of each `#define NAME (1 << bit)`. */
  readonly bits: ReadonlyMap<string, number>;
}

function structsOf(text: string): Map<string, Layout> {
  const structs = new Map<string, Layout>();
  for (const [, name, body] of text.matchAll(/struct (fuse_\w+)\s*\{([^{}]*)\}/g)) {
    const offsets: Record<string, number> = {};
    let size = 0;
    for (const [, type, field, count] of body!.matchAll(/((?:struct )?\w+)\s+(\w+)(?:\[(\w*)\])?\s*;/g)) {
      if (count === "") break; // a flexible array: not part of the struct's size
      const width = WIDTH[type!] ?? structs.get(type!.replace("struct ", ""))?.size;
      if (width === undefined) throw new Error(`${name}.${field}: unknown type ${type}`);
      offsets[field!] = size;
      size += width * Number(count ?? 1);
    }
    structs.set(name!, { offsets, size });
  }
  return structs;
}

function enumOf(text: string, name: string, prefix: string): Map<string, number> {
  const body = new RegExp(`enum ${name}\\s*\\{([^}]*)\\}`).exec(text)?.[1] ?? "";
  return new Map([...body.matchAll(/(\w+)\s*=\s*(\d+)/g)].map(([, key, value]) => [key!.replace(prefix, ""), Number(value)]));
}

/** The installed header; undefined, with a printed reason, where there is none. */
export function readFuseHeader(): FuseHeader | undefined {
  let text: string;
  try {
    text = readFileSync(PATH, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  } catch {
    console.warn(`SKIPPED comparison with ${PATH}: it is not installed (Debian: linux-libc-dev)`);
    return undefined;
  }
  return {
    minor: Number(/FUSE_KERNEL_MINOR_VERSION (\d+)/.exec(text)?.[1]),
    structs: structsOf(text),
    opcodes: enumOf(text, "fuse_opcode", "FUSE_"),
    notices: enumOf(text, "fuse_notify_code", "FUSE_NOTIFY_"),
    bits: new Map([...text.matchAll(/#define\s+(\w+)\s+\(1(?:ULL|ull)?\s*<<\s*(\d+)\)/g)].map(([, name, bit]) => [name!, Number(bit)])),
  };
}
