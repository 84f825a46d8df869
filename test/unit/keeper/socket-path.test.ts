import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { UnixListener, UnixSocket } from "#fuse/channel/unix-socket.ts";
import { claimSocketPath } from "#keeper/socket-path.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keeper-folder-"));
  path = join(dir, "keeper", "keeper.sock");
});
afterEach(() => rmSync(dir, { recursive: true }));

const fault = (claim: Promise<unknown>, name: "precondition" | "in_use") =>
  claim.then(
    () => false,
    (error: unknown) => isFault(error, name),
  );

describe("claimSocketPath", () => {
  test("`claimSocketPath` makes the folder for this user alone", async () => {
    (await claimSocketPath(path)).release();
    expect(statSync(join(dir, "keeper")).mode & 0o777).toBe(0o700);
  });

  test("`claimSocketPath` closes a folder that has nothing but the keeper's files, such as the kubelet makes", async () => {
    mkdirSync(join(dir, "keeper"), { mode: 0o755 });
    (await claimSocketPath(path)).release();
    chmodSync(join(dir, "keeper"), 0o755);
    (await claimSocketPath(path)).release();
    expect(statSync(join(dir, "keeper")).mode & 0o777).toBe(0o700);
  });

  test.each([
    ["others may write to", () => mkdirSync(join(dir, "keeper")) === undefined && chmodSync(join(dir, "keeper"), 0o777)],
    [
      "holds other files and is open to others",
      () => {
        mkdirSync(join(dir, "keeper"), { mode: 0o755 });
        writeFileSync(join(dir, "keeper", "other"), "");
      },
    ],
  ])("`claimSocketPath` refuses a folder that %s, and leaves it as it is", async (_, make) => {
    make();
    const before = statSync(join(dir, "keeper")).mode;
    expect(await fault(claimSocketPath(path), "precondition")).toBe(true);
    expect(statSync(join(dir, "keeper")).mode).toBe(before);
  });

  test("`claimSocketPath` refuses while another keeper lives, and takes the place of one that is gone", async () => {
    const first = await claimSocketPath(path);
    const listener = UnixListener.listen(path);
    expect(await fault(claimSocketPath(path), "in_use")).toBe(true);
    UnixSocket.connect(path).close();
    listener.close();
    first.release();
    const second = await claimSocketPath(path);
    UnixListener.listen(path).close();
    second.release();
  });

  test("`claimSocketPath` takes nothing away that is no socket", async () => {
    mkdirSync(join(dir, "keeper"), { mode: 0o700 });
    writeFileSync(path, "precious");
    expect(await fault(claimSocketPath(path), "precondition")).toBe(true);
    expect(statSync(path).size).toBe(8);
  });
});
