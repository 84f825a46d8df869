import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type MountEntry, MountRegistry, runtimeDir } from "#cli/registry.ts";
import type { MountRow } from "#node/mounts.ts";
import { identify, type ProcessIdentity } from "#node/process-identity.ts";

const UID = process.getuid?.() ?? 0;
let dir: string;
let registry: MountRegistry;
let self: ProcessIdentity;

beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), "registry-")), "run");
  registry = new MountRegistry(dir);
  await registry.prepare(UID);
  self = (await identify(process.pid)) as ProcessIdentity;
});
afterEach(() => rm(join(dir, ".."), { recursive: true }));

function entry(id: string, supervisor: ProcessIdentity): MountEntry {
  return { id, source: `s3://${id}`, mountPoint: `/m/${id}`, device: `0:${id.length}`, supervisor, stateDir: "/s" };
}

describe("MountRegistry", () => {
  test("`list` answers what was put in, by directory, when the supervisors live", async () => {
    await registry.put(entry("b", self));
    await registry.put(entry("a", self));
    expect(await registry.list([])).toEqual([entry("a", self), entry("b", self)].map((known) => ({ ...known, supervised: true })));
  });

  test("`list` trusts no entry whose process is another one of the same id, and takes it away", async () => {
    await registry.put(entry("a", { ...self, startTicks: self.startTicks + 1 }));
    await writeFile(registry.socketPath("a"), "");
    expect(await registry.list([])).toEqual([]);
    expect(await readdir(dir)).toEqual([]);
  });

  test("`list` keeps an entry without its supervisor when the mount is still there", async () => {
    const orphan = entry("a", { pid: 2 ** 22 + 1, startTicks: 1 });
    await registry.put(orphan);
    const row = { mountPoint: orphan.mountPoint, device: orphan.device } as MountRow;
    expect(await registry.list([row])).toEqual([{ ...orphan, supervised: false }]);
    expect(await registry.list([{ ...row, device: "9:9" }])).toEqual([]);
  });

  test("`list` passes over a file that is no entry", async () => {
    await writeFile(join(dir, "x.json"), "{");
    expect(await registry.list([])).toEqual([]);
  });

  test("`remove` leaves nothing of the mount", async () => {
    await registry.put(entry("a", self));
    await registry.remove("a");
    expect(await readdir(dir)).toEqual([]);
  });

  test("`prepare` refuses a folder that others may enter", async () => {
    await chmod(dir, 0o755);
    await expect(registry.prepare(UID)).rejects.toThrow(`${dir} must be a directory of uid ${UID} with mode 0700`);
  });
});

test("`runtimeDir` is the system's for root and the user's own else", () => {
  expect(runtimeDir(0, { XDG_RUNTIME_DIR: "/run/user/0" })).toBe("/run/bucketmount");
  expect(runtimeDir(7, { XDG_RUNTIME_DIR: "/run/user/7" })).toBe("/run/user/7/bucketmount");
  expect(runtimeDir(7, {})).toBe(join(tmpdir(), "bucketmount-7"));
});
