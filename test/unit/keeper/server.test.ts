import { chmodSync, closeSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLogger } from "#core/log.ts";
import { UnixSocket } from "#fuse/channel/unix-socket.ts";
import { createKeeperClient } from "#keeper/client.ts";
import { receiveFrame, sendFrame } from "#keeper/frame.ts";
import { type KeeperServer, serveKeeper } from "#keeper/server.ts";

let dir: string;
let server: KeeperServer;
let fd: number;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "keeper-server-"));
  server = await serveKeeper({ socketPath: join(dir, "s"), log: silentLogger });
  fd = openSync("/dev/null", "r");
});
afterEach(async () => {
  server.stop();
  server.stop();
  await server.ended;
  closeSync(fd);
  rmSync(dir, { recursive: true });
});

const openDescriptors = () => readdirSync("/proc/self/fd").length;

async function ask(header: object, passed?: number): Promise<unknown> {
  const socket = UnixSocket.connect(join(dir, "s"));
  await sendFrame(socket, header, undefined, passed);
  const frame = await receiveFrame(socket);
  socket.close();
  return frame?.header;
}

describe("serveKeeper", () => {
  test("a second keeper is refused and does not disturb the first", async () => {
    await expect(serveKeeper({ socketPath: join(dir, "s"), log: silentLogger })).rejects.toMatchObject({ fault: "in_use" });
    expect(await ask({ op: "list" })).toEqual({ ok: true, names: [] });
  });

  test.each([
    ["an unknown operation", { op: "dance" }, "unsupported"],
    ["a deposit without a volume", { op: "deposit", device: "0:1" }, "bad_argument"],
    ["a deposit with a device that is no string", { op: "deposit", volumeId: "v", device: 1 }, "bad_argument"],
  ])("%s is refused, and its descriptor is closed", async (_, request, fault) => {
    const before = openDescriptors();
    expect(await ask(request, fd)).toMatchObject({ ok: false, fault });
    await expect.poll(openDescriptors).toBe(before);
    expect(server.held).toBe(0);
  });

  test("a deposit without a descriptor is refused", async () => {
    expect(await ask({ op: "deposit", volumeId: "v", device: "0:1" })).toMatchObject({ ok: false, fault: "bad_argument" });
  });

  test("bytes that are no request end their connection and nothing else", async () => {
    const socket = UnixSocket.connect(join(dir, "s"));
    await socket.send(Buffer.alloc(100, 255), fd);
    // What it had not read yet makes this a reset.
    await expect(receiveFrame(socket)).rejects.toMatchObject({ fault: "unavailable" });
    socket.close();
    expect(await ask({ op: "list" })).toEqual({ ok: true, names: [] });
  });

  const notRoot = process.getuid?.() !== 0;
  if (notRoot) console.warn("SKIPPED test/unit/keeper/server, another user's connection: needs root to become another user");
  test.skipIf(notRoot)("another user gets nothing, wherever the socket is", async () => {
    chmodSync(dir, 0o777);
    chmodSync(join(dir, "s"), 0o777);
    process.seteuid?.(65_534);
    const socket = UnixSocket.connect(join(dir, "s"));
    process.seteuid?.(0);
    expect(await receiveFrame(socket)).toBeUndefined();
    socket.close();
  });

  test("every descriptor is closed when it ends", async () => {
    const before = openDescriptors();
    const keeper = createKeeperClient({ socketPath: join(dir, "s") });
    for (const volumeId of ["a", "b", "a"]) await keeper.deposit({ volumeId, device: "0:1", fd, blob: Buffer.from("x") });
    expect(server.held).toBe(2);
    server.stop();
    server.stop();
    await server.ended;
    // The listener and the lock are gone too.
    await expect.poll(openDescriptors).toBe(before - 2);
  });
});
