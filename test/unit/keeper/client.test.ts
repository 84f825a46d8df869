import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UnixListener, type UnixSocket } from "#fuse/channel/unix-socket.ts";
import { createKeeperClient } from "#keeper/client.ts";
import { receiveFrame, sendFrame } from "#keeper/frame.ts";

let dir: string;
let listener: UnixListener;
const sockets: UnixSocket[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keeper-client-"));
  listener = UnixListener.listen(join(dir, "s"));
});
afterEach(() => {
  listener.close();
  for (const socket of sockets.splice(0)) socket.close();
  rmSync(dir, { recursive: true });
});

async function accept(): Promise<UnixSocket> {
  const socket = (await listener.accept()) as UnixSocket;
  sockets.push(socket);
  return socket;
}
const client = (answerMs = 30_000) => createKeeperClient({ socketPath: join(dir, "s"), answerMs });

describe("createKeeperClient", () => {
  test("a call fails with `timed_out` when the keeper takes it and says nothing", async () => {
    await expect(client(100).list()).rejects.toMatchObject({ fault: "timed_out" });
    await expect(client(100).attach()).rejects.toMatchObject({ fault: "timed_out" });
  });

  test("a call fails with `unavailable` when the keeper ends before its answer", async () => {
    const listed = client().list();
    const socket = await accept();
    await receiveFrame(socket);
    socket.close();
    await expect(listed).rejects.toMatchObject({ fault: "unavailable" });
  });

  test("a call fails with the keeper's own fault when it refuses", async () => {
    const listed = client().list();
    const socket = await accept();
    await receiveFrame(socket);
    await sendFrame(socket, { ok: false, fault: "no_space", message: "full" });
    await expect(listed).rejects.toMatchObject({ fault: "no_space", message: "the keeper: full" });
  });

  test("`leave` fails when the keeper ends before it has answered", async () => {
    const attaching = client().attach();
    const socket = await accept();
    await receiveFrame(socket);
    await sendFrame(socket, { ok: true });
    const { leave, lost } = await attaching;
    const left = leave();
    await receiveFrame(socket);
    socket.close();
    await expect(left).rejects.toMatchObject({ fault: "unavailable" });
    await lost;
  });

  test("a path that no socket can have is refused by name", async () => {
    await expect(createKeeperClient({ socketPath: `/${"x".repeat(108)}` }).list()).rejects.toMatchObject({ fault: "bad_argument" });
  });
});
