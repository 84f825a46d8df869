import { randomBytes } from "node:crypto";
import { type FileHandle, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { payloadLength, preparePayload, readPayload } from "#s3/payload.ts";
import { fails } from "../../support/store-assertions.ts";

describe("preparePayload", () => {
  const bytes = randomBytes(18 << 20);
  let dir: string;
  let file: FileHandle;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "bucketmount-payload-"));
    await writeFile(join(dir, "file"), bytes);
    file = await open(join(dir, "file"));
  });
  afterAll(async () => {
    await file.close();
    await rm(dir, { recursive: true });
  });

  it("sums memory, a small range and a large range alike, and can be sent again", async () => {
    for (const [start, end] of [
      [0, 0],
      [3, 100_000],
      [1, (17 << 20) + 5],
    ] as const) {
      const range = bytes.subarray(start, end);
      const payload = { fd: file.fd, start, end };
      expect(payloadLength(payload)).toBe(end - start);
      for (const kind of ["crc32", "md5"] as const) {
        const [fromFile, fromMemory] = [await preparePayload(payload, kind), await preparePayload(range, kind)];
        expect(fromFile.checksum).toEqual(fromMemory.checksum);
        for (let time = 0; time < 2; time++) {
          const sent = fromFile.body();
          const parts: Uint8Array[] = [];
          if (sent instanceof Uint8Array) parts.push(sent);
          else for await (const part of sent) parts.push(part);
          expect(Buffer.concat(parts).equals(range)).toBe(true);
        }
      }
    }
  });

  it("tells `seen` of the bytes once, in order, for a small range and a large one", async () => {
    for (const end of [3 << 20, (17 << 20) + 5]) {
      const chunks: Buffer[] = [];
      await preparePayload({ fd: file.fd, start: 1, end, seen: (chunk) => void chunks.push(Buffer.from(chunk)) });
      expect(Buffer.concat(chunks).equals(bytes.subarray(1, end))).toBe(true);
    }
  });

  it("`done` frees the buffer for the next one, but not after a second attempt, whose first may still be on its way", async () => {
    const range = { fd: file.fd, start: 0, end: 2 << 20 };
    const bufferOf = (payload: { body(): unknown }) => (payload.body() as Uint8Array).buffer;
    const [first, repeated] = [await preparePayload(range), await preparePayload(range)];
    const used = [bufferOf(first), bufferOf(repeated)];
    bufferOf(repeated);
    for (const payload of [first, repeated]) payload.done();
    const next = [await preparePayload(range), await preparePayload(range)].map(bufferOf);
    expect(next[0]).toBe(used[0]);
    expect(next[1]).not.toBe(used[1]);
  });

  it("has S3's form of the sums", async () => {
    expect((await preparePayload(Buffer.from("hello"))).checksum).toEqual({ "x-amz-checksum-crc32": "NhCmhg==" });
    expect((await preparePayload(Buffer.from("hello"), "md5")).checksum).toEqual({ "content-md5": "XUFAKrxLKna5cZ2REBfFkg==" });
  });

  it("is corrupt when the file is shorter than the range", async () => {
    await fails(readPayload({ fd: file.fd, start: bytes.length - 5, end: bytes.length + 5 }), "corrupt");
    await fails(preparePayload({ fd: file.fd, start: 0, end: bytes.length + 5 }), "corrupt");
  });
});
