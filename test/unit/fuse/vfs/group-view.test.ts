import { expect, test, vi } from "vitest";
import { groupAccess, shownToGroup, shownWithUmask } from "#fuse/vfs/group-view.ts";
import { ALICE, KernelUser, O_CREAT, O_WRONLY } from "../../../support/kernel-user.ts";
import { VfsWorld } from "../../../support/vfs-world.ts";

const GROUP = 2000;
const octal = ({ gid, mode }: { gid: number; mode: number }) => `${gid} ${(mode & 0o7777).toString(8)}`;
const FOREIGN = { uid: "7", gid: "7", mode: String(0o100600) };

test.each([
  [0o100644, 0o060],
  [0o100755, 0o070],
  [0o040700, 0o2070],
  [0o120777, 0],
  [0o010600, 0o060],
])("`groupAccess` of %o is %o", (mode, bits) => {
  expect(groupAccess(mode).toString(8)).toBe(bits.toString(8));
});

test("`shownToGroup` leaves what is the group's own as it is, and everything when there is no group", () => {
  const own = { gid: GROUP, mode: 0o100600 };
  expect(shownToGroup(own, GROUP)).toBe(own);
  expect(shownToGroup({ gid: 0, mode: 0o100600 }, GROUP)).toEqual({ gid: GROUP, mode: 0o100660 });
  expect(shownToGroup(own, undefined)).toBe(own);
});

test("`shownWithUmask` takes permissions away from all but symlinks", () => {
  expect(shownWithUmask({ mode: 0o100666 }, 0o027)).toEqual({ mode: 0o100640 });
  expect(shownWithUmask({ mode: 0o120777 }, 0o027)).toEqual({ mode: 0o120777 });
});

test("a mount with a umask shows nothing of those permissions, and lets its group in all the same", async () => {
  const world = await VfsWorld.open({ options: { umask: 0o077 } });
  await world.store.put("theirs", Buffer.from("x"), { metadata: { ...FOREIGN, mode: String(0o100666) } });
  expect(octal(await world.user.stat("theirs"))).toBe("7 600");
  expect(octal(await world.user.stat(""))).toMatch(/ 700$/);
  world.fs.showToGroup(GROUP);
  expect(octal(await world.user.stat("theirs"))).toBe(`${GROUP} 660`);
  expect((await world.store.head("theirs")).metadata["mode"]).toBe(String(0o100666));
  await world.close();
});

test("a mount for a group shows to it what others made, and changes no object for that", async () => {
  const world = await VfsWorld.open({ options: { group: GROUP } });
  await world.store.put("plain", Buffer.from("x"));
  await world.store.put("dir/file", Buffer.from("x"), { metadata: FOREIGN });
  expect(octal(await world.user.stat(""))).toBe(`${GROUP} 2775`);
  expect(octal(await world.user.stat("plain"))).toBe(`${GROUP} 664`);
  expect(octal(await world.user.stat("dir"))).toBe(`${GROUP} 2775`);
  expect(octal(await world.user.stat("dir/file"))).toBe(`${GROUP} 660`);
  await world.user.writeFile("dir/file", "new");
  expect((await world.store.head("dir/file")).metadata).toMatchObject(FOREIGN);
  await world.close();
});

test("what is made in a mount for a group is that group's to read and write, whatever the umask", async () => {
  const world = await VfsWorld.open({ options: { group: GROUP } });
  await (await world.user.open("file", O_WRONLY | O_CREAT, 0o600)).close();
  await world.user.mkdir("dir", 0o700);
  await world.user.symlink("link", "file");
  expect(octal(await world.user.stat("file"))).toBe(`${GROUP} 660`);
  expect(octal(await world.user.stat("dir"))).toBe(`${GROUP} 2770`);
  expect(octal(await world.user.stat("link"))).toBe(`${GROUP} 777`);
  expect((await world.store.head("file")).metadata).toMatchObject({ uid: String(ALICE.uid), gid: String(GROUP), mode: String(0o100660) });
  await world.close();
});

test("a mode that somebody set in a mount for a group holds, and so does an owner", async () => {
  const world = await VfsWorld.open({ options: { group: GROUP } });
  await world.store.put("private", Buffer.from("x"), { metadata: FOREIGN });
  await world.store.put("given", Buffer.from("x"), { metadata: FOREIGN });
  await world.store.put("touched", Buffer.from("x"), { metadata: FOREIGN });
  expect(octal(await world.user.setattr("private", { mode: 0o600 }))).toBe(`${GROUP} 600`);
  expect(await world.user.setattr("given", { uid: 1234, gid: 99 })).toMatchObject({ uid: 1234, gid: GROUP, mode: 0o100660 });
  await world.user.setattr("touched", { mtime: { sec: 1, nsec: 0 } });
  world.clock.advance(60_000);
  expect(octal(await world.user.stat("private"))).toBe(`${GROUP} 600`);
  expect(octal(await world.user.stat("given"))).toBe(`${GROUP} 660`);
  expect((await world.store.head("touched")).metadata).toMatchObject(FOREIGN);
  await world.close();
});

test("`showToGroup` gives everything to another group, and the kernel forgets what it was told before", async () => {
  const world = await VfsWorld.open({ options: { group: GROUP } });
  const forget = vi.spyOn(world.kernel, "invalidateNode");
  await world.user.writeFile("file", "x");
  const user = new KernelUser(world.fs);
  const { node } = await user.entry("file");
  world.fs.showToGroup(3000);
  for (const number of [1, node]) expect(forget).toHaveBeenCalledWith(number, -1, 0);
  expect(octal(await world.user.stat("file"))).toBe("3000 664");
  world.fs.showToGroup(undefined);
  expect(octal(await world.user.stat("file"))).toBe(`${GROUP} 664`);
  await world.close();
});
