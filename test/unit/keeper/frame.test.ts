import { closeSync, fstatSync, openSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { type FrameStream, receiveFrame, sendFrame } from "#keeper/frame.ts";

/** What was sent, given out again in pieces of these sizes, with the descriptor at the first byte; then the end. */
function piecesOf(bytes: Uint8Array, sizes: readonly number[], fds: readonly (number | undefined)[]): FrameStream {
  let [at, piece] = [0, 0];
  return {
    send: async () => undefined,
    receive: async (into) => {
      const length = Math.min(into.length, bytes.length - at, sizes[piece % sizes.length] ?? 1);
      into.set(bytes.subarray(at, at + length));
      at += length;
      return { bytes: length, fd: length === 0 ? undefined : fds[piece++] };
    },
  };
}

async function encoded(header: object, blob?: Uint8Array): Promise<Uint8Array> {
  let sent: Uint8Array = new Uint8Array();
  const send = async (bytes: Uint8Array) => {
    sent = bytes;
  };
  await sendFrame({ send, receive: async () => ({ bytes: 0, fd: undefined }) }, header, blob);
  return sent;
}

const opened: number[] = [];
function descriptor(): number {
  const fd = openSync("/dev/null", "r");
  opened.push(fd);
  return fd;
}
const isOpen = (fd: number) => {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
};
afterEach(() => {
  for (const fd of opened.splice(0)) if (isOpen(fd)) closeSync(fd);
});

describe("receiveFrame", () => {
  test("`receiveFrame` reads what `sendFrame` wrote, however the stream cuts it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string(),
        fc.uint8Array(),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        async (text, blob, sizes) => {
          const frame = await receiveFrame(piecesOf(await encoded({ text }, blob), sizes, [7]));
          expect({ ...frame, blob: Uint8Array.from(frame?.blob ?? []) }).toEqual({ header: { text }, blob, fd: 7 });
        },
      ),
    );
  });

  test("`receiveFrame` says that there is none when the stream ends between two", async () => {
    expect(await receiveFrame(piecesOf(new Uint8Array(), [1], []))).toBeUndefined();
  });

  test.each([
    ["ends within a frame", async () => (await encoded({ a: 1 })).subarray(0, 10)],
    ["is longer than any frame", async () => Uint8Array.from([0, 0, 0, 0, 1, 0, 16, 0])],
    ["has a header that is no JSON", async () => Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 0, 123])],
  ])("`receiveFrame` refuses what %s, and closes its descriptor", async (_, bytes) => {
    const fd = descriptor();
    const error = await receiveFrame(piecesOf(await bytes(), [100], [fd])).catch((thrown: unknown) => thrown);
    expect(isFault(error, "corrupt")).toBe(true);
    expect(isOpen(fd)).toBe(false);
  });

  test("`receiveFrame` refuses two descriptors in one frame, and closes both", async () => {
    const fds = [descriptor(), descriptor()];
    await expect(receiveFrame(piecesOf(await encoded({ a: 1 }), [8], fds))).rejects.toThrow("more than one descriptor");
    expect(fds.map(isOpen)).toEqual([false, false]);
  });
});
