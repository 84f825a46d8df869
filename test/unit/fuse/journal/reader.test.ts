import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeId } from "#core/brand.ts";
import { type ReadEnd, readFrames } from "#fuse/journal/reader.ts";
import { encodeRecord } from "#fuse/journal/record.ts";

/** Reads all of `bytes`; also proves that frames survive a source that reuses its buffer. */
function readAll(bytes: Uint8Array): ReadEnd & { offsets: number[] } {
  let shared = Buffer.alloc(0);
  const source = (start: number, length: number) => {
    if (shared.byteLength < length) shared = Buffer.alloc(length);
    shared.set(bytes.subarray(start, start + length));
    return shared.subarray(0, Math.min(length, bytes.byteLength - start));
  };
  const frames = readFrames(source, 0, bytes.byteLength);
  const offsets: number[] = [];
  for (let next = frames.next(); ; next = frames.next()) {
    if (next.done) return { ...next.value, offsets };
    offsets.push(next.value.offset);
  }
}

const named = (node: number, length: number) =>
  encodeRecord({ type: "inode", row: { node: node as NodeId, parent: 1 as NodeId, name: "n".repeat(length), kind: "file" } });
const big = encodeRecord({ type: "session", row: { init: new Uint8Array(300 << 10).fill(1) } });

describe("readFrames", () => {
  it("`readFrames` finds every frame, also those larger than its window", () => {
    const parts = [named(2, 3), big, named(3, 200), big, named(4, 1)];
    const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part.byteLength, 0));
    const all = Buffer.concat(parts);
    expect(readAll(all)).toEqual({ state: "whole", end: all.byteLength, offsets: starts });
  });

  it("`readFrames` ends torn after the last whole frame when the bytes end anywhere in the next", () => {
    const first = named(2, 3);
    const all = Buffer.concat([first, named(3, 9)]);
    fc.assert(
      fc.property(fc.integer({ min: first.byteLength + 1, max: all.byteLength - 1 }), (cut) => {
        expect(readAll(all.subarray(0, cut))).toEqual({ state: "torn", end: first.byteLength, offsets: [0] });
      }),
    );
  });

  it("`readFrames` ends torn when zeros follow, as after a power loss", () => {
    const first = named(2, 3);
    const read = readAll(Buffer.concat([first, Buffer.alloc(1 << 20)]));
    expect(read).toEqual({ state: "torn", end: first.byteLength, offsets: [0] });
  });

  it("`readFrames` ends torn when the last frame has its length but not its bytes", () => {
    const first = named(2, 3);
    const last = named(3, 100);
    last.fill(0, last.byteLength - 64);
    expect(readAll(Buffer.concat([first, last]))).toMatchObject({ state: "torn", end: first.byteLength });
  });

  it("`readFrames` ends damaged when a frame is wrong and good ones follow", () => {
    const first = named(2, 3);
    const middle = named(3, 100);
    middle.writeUInt8(0xee, 60);
    expect(readAll(Buffer.concat([first, middle, named(4, 5)]))).toEqual({ state: "damaged", end: first.byteLength, offsets: [0] });
  });
});
