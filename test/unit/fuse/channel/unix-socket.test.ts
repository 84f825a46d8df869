import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { duplicate, hasHungUp, lockExclusively, UnixListener, UnixSocket } from "#fuse/channel/unix-socket.ts";

let dir: string;
let listener: UnixListener;
let near: UnixSocket;
let far: UnixSocket;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "unix-socket-"));
  listener = UnixListener.listen(join(dir, "s"));
  near = UnixSocket.connect(join(dir, "s"));
  far = (await listener.accept()) as UnixSocket;
});
afterEach(() => {
  for (const one of [near, far, listener]) one.close();
  rmSync(dir, { recursive: true });
});

function fileWith(text: string): number {
  writeFileSync(join(dir, text), text);
  return openSync(join(dir, text), "r");
}

function contentOf(fd: number | undefined): string {
  const bytes = Buffer.alloc(100);
  return bytes.subarray(0, readSync(fd ?? -1, bytes, 0, 100, 0)).toString();
}

describe("UnixSocket", () => {
  test("a descriptor comes with the first byte, as an open file of the receiver's own", async () => {
    const fd = fileWith("content");
    const sent = near.send(Buffer.from("hello"), fd);
    const into = Buffer.alloc(3);
    const first = await far.receive(into);
    await sent;
    closeSync(fd);
    expect([first.bytes, into.toString(), contentOf(first.fd)]).toEqual([3, "hel", "content"]);
    closeSync(first.fd ?? -1);
    expect(await far.receive(into)).toEqual({ bytes: 2, fd: undefined });
  });

  test("more than the kernel buffers waits for the reader and comes whole, in both directions", async () => {
    const content = Buffer.alloc(3 << 20, "0123456789");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const sent = from.send(content);
      const received = Buffer.alloc(content.length);
      for (let length = 0; length < content.length; ) length += (await to.receive(received.subarray(length))).bytes;
      await sent;
      expect(received.equals(content)).toBe(true);
    }
  });

  test("`receive` says 0 when the other end closes, and `over` knows it without waiting", async () => {
    expect(near.over).toBe(false);
    const received = near.receive(Buffer.alloc(1));
    far.close();
    expect(await received).toEqual({ bytes: 0, fd: undefined });
    expect(near.over).toBe(true);
    await expect(near.send(Buffer.alloc(1))).rejects.toMatchObject({ fault: "unavailable" });
  });

  test("`close` ends who waits here", async () => {
    const received = near.receive(Buffer.alloc(1));
    near.close();
    await expect(received).rejects.toMatchObject({ fault: "unavailable" });
    const accepted = listener.accept();
    listener.close();
    expect(await accepted).toBeUndefined();
  });

  test("`peerUid` is the kernel's word on who is there", () => {
    expect([near.peerUid(), far.peerUid()]).toEqual([process.getuid?.(), process.getuid?.()]);
  });

  test("`listen` lets nobody but this user in, and `connect` says when nobody listens", () => {
    expect(statSync(join(dir, "s")).mode & 0o777).toBe(0o600);
    expect(() => UnixListener.listen(join(dir, "s"))).toThrow(/EADDRINUSE/);
    listener.close();
    expect(() => UnixSocket.connect(join(dir, "s"))).toThrow(/ECONNREFUSED/);
    expect(() => UnixSocket.connect(join(dir, "x".repeat(108)))).toThrow(/1 to 107 bytes/);
  });
});

test("`duplicate` is the same open file under another number", () => {
  const fd = fileWith("content");
  const copy = duplicate(fd);
  closeSync(fd);
  expect(contentOf(copy)).toBe("content");
  expect(hasHungUp(copy)).toBe(false);
  closeSync(copy);
  expect(() => duplicate(copy)).toThrow(/EBADF/);
});

test("`lockExclusively` has one owner at a time", () => {
  const [first, second] = [openSync(join(dir, "lock"), "a"), openSync(join(dir, "lock"), "a")];
  expect([lockExclusively(first), lockExclusively(second)]).toEqual([true, false]);
  closeSync(first);
  expect(lockExclusively(second)).toBe(true);
  closeSync(second);
});
