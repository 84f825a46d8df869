import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { DirectWriter } from "#fuse/cache/direct-writer.ts";

const dir = mkdtempSync(join(tmpdir(), "bucketmount-direct-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** Bytes that tell their place. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7) & 0xff;
  return bytes;
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

it("`DirectWriter.write` writes exactly the bytes it is given when pieces and lengths fit no block", async () => {
  const property = fc.asyncProperty(
    fc.constantFrom(0, 4096, 1 << 20, 100),
    fc.integer({ min: 1, max: 3 << 20 }),
    fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 5 }),
    async (offset, length, sizes) => {
      const path = join(dir, "file");
      const fd = openSync(path, "w+");
      const writer = new DirectWriter(path, fd);
      const bytes = pattern(length);
      try {
        await writer.write(offset, cut(bytes, sizes));
      } finally {
        writer.close();
        closeSync(fd);
      }
      expect(readFileSync(path).subarray(offset).equals(bytes)).toBe(true);
    },
  );
  await fc.assert(property, { numRuns: 25 });
});

it("`DirectWriter.write` keeps writes apart when more are under way than there are buffers", async () => {
  const path = join(dir, "many");
  const fd = openSync(path, "w+");
  const writer = new DirectWriter(path, fd);
  const parts = Array.from({ length: 10 }, (_, i) => Buffer.alloc((2 << 20) + 5, i + 1));
  await Promise.all(parts.map((part, i) => writer.write(i * (4 << 20), [part])));
  const written = readFileSync(path);
  for (const [i, part] of parts.entries()) {
    expect(written.subarray(i * (4 << 20), i * (4 << 20) + part.length).equals(part)).toBe(true);
  }
  writer.close();
  closeSync(fd);
});

it("`DirectWriter.write` works without O_DIRECT when the path cannot be opened so", async () => {
  const path = join(dir, "plain");
  const fd = openSync(path, "w+");
  const writer = new DirectWriter(join(dir, "not-there"), fd);
  await writer.write(0, [pattern(3 << 20)]);
  writer.close();
  expect(readFileSync(path).equals(pattern(3 << 20))).toBe(true);
  closeSync(fd);
});
