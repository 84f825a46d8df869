import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type VolumeRecord, VolumeRecords } from "#node/volume-records.ts";

const RECORD: VolumeRecord = { volumeId: "v:1", stagingPath: "/staging", fingerprint: "f", targets: [], phase: "staged" };

let dir: string;
let records: VolumeRecords;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bucketmount-records-"));
  records = new VolumeRecords(dir);
  await mkdir(records.folder("v:1"), { recursive: true });
});
afterEach(() => rm(dir, { recursive: true }));

test("`folder` stays in the state folder and differs, whatever the id is", () => {
  const folders = ["v", "v/", "../../etc", "x".repeat(128)].map((id) => records.folder(id));
  expect(new Set(folders).size).toBe(4);
  for (const folder of folders) expect(folder.slice(dir.length)).toMatch(/^\/volumes\/[0-9a-f]{32}$/);
});

test("`change` loses nothing when changes come at the same time", async () => {
  await records.change("v:1", () => RECORD);
  const targets = ["/a", "/b", "/c"];
  await Promise.all(targets.map((target) => records.change("v:1", (now) => now && { ...now, targets: [...now.targets, target] })));
  expect(await new VolumeRecords(dir).read("v:1")).toEqual({ ...RECORD, targets });
  expect(await readdir(records.folder("v:1"))).toEqual(["volume.json"]);
  expect((await stat(join(records.folder("v:1"), "volume.json"))).mode & 0o777).toBe(0o600);
});

test("`change` of a volume without record or folder makes none", async () => {
  await records.change("other", (now) => now);
  await records.change("other", () => undefined);
  expect(await records.read("other")).toBeUndefined();
  expect(await readdir(join(dir, "volumes"))).toHaveLength(1);
});

test("`read` takes a damaged record for none", async () => {
  await writeFile(join(records.folder("v:1"), "volume.json"), '{"volumeId":');
  expect(await records.read("v:1")).toBeUndefined();
});

test("`unsentFiles` counts the spool without copies", async () => {
  expect(await records.unsentFiles("v:1")).toBe(0);
  const spool = join(records.folder("v:1"), "spool");
  await mkdir(spool);
  for (const name of ["a", "b", "b.copy"]) await writeFile(join(spool, name), "");
  expect(await records.unsentFiles("v:1")).toBe(2);
});
