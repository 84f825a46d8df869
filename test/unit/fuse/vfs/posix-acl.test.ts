import { describe, expect, it } from "vitest";
import { ACCESS_ACL, aclWithMode, DEFAULT_ACL, inheritAcl, readAccessAcl } from "#fuse/vfs/posix-acl.ts";
import { faultOf, KernelUser, O_CREAT, O_WRONLY } from "../../../support/kernel-user.ts";
import { VfsWorld } from "../../../support/vfs-world.ts";

const NOBODY = 0xffff_ffff;

/** The attribute's bytes for entries of tag, permissions and id. */
function acl(...entries: readonly (readonly [tag: number, permissions: number, id?: number])[]): Uint8Array {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id = NOBODY]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  }
  return bytes;
}

describe("readAccessAcl", () => {
  it("is minimal when it has owner, group and others alone", () => {
    expect(readAccessAcl(acl([0x01, 7], [0x04, 5], [0x20, 4]))).toEqual({ mode: 0o754, minimal: true });
  });

  it("has the mask as the group's bits when it names users or groups", () => {
    const named = acl([0x01, 6], [0x02, 4, 1234], [0x04, 0], [0x08, 6, 50], [0x10, 6], [0x20, 0]);
    expect(readAccessAcl(named)).toEqual({ mode: 0o660, minimal: false });
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["a text", Buffer.from("value")],
    ["another version", Buffer.from([1, 0, 0, 0])],
    ["no entries", acl()],
    ["a part of an entry", acl([0x01, 7], [0x04, 5], [0x20, 4]).subarray(0, -1)],
  ])("is undefined for %s", (_, bytes) => {
    expect(readAccessAcl(bytes)).toBeUndefined();
  });
});

const NAMED = acl([0x01, 7], [0x02, 7, 1234], [0x04, 5], [0x10, 7], [0x20, 1]);
const MINIMAL = acl([0x01, 7], [0x04, 5], [0x20, 4]);

describe("aclWithMode", () => {
  it("moves owner, mask and others, or the group where there is no mask, and no named entry", () => {
    expect(aclWithMode(NAMED, 0o640)).toEqual(new Uint8Array(acl([0x01, 6], [0x02, 7, 1234], [0x04, 5], [0x10, 4], [0x20, 0])));
    expect(aclWithMode(MINIMAL, 0o102631)).toEqual(new Uint8Array(acl([0x01, 6], [0x04, 3], [0x20, 1])));
  });

  it("leaves the given bytes, and what is no ACL", () => {
    const before = Buffer.from(NAMED);
    aclWithMode(NAMED, 0);
    expect(Buffer.from(NAMED).equals(before)).toBe(true);
    expect(aclWithMode(Buffer.from("value"), 0o644)).toEqual(Buffer.from("value"));
  });
});

describe("inheritAcl", () => {
  it("gives what both the ACL and the wanted mode allow, and the type and special bits", () => {
    const { mode, acl: inherited } = inheritAcl(NAMED, 0o100666) ?? {};
    expect(mode?.toString(8)).toBe("100660");
    expect(inherited).toEqual(new Uint8Array(acl([0x01, 6], [0x02, 7, 1234], [0x04, 5], [0x10, 6], [0x20, 0])));
    expect(inheritAcl(NAMED, 0o042777)?.mode.toString(8)).toBe("42771");
  });

  it("gives no ACL where the mode says all", () => {
    expect(inheritAcl(MINIMAL, 0o100666)).toEqual({ mode: 0o100644, acl: undefined });
  });

  it("is undefined for what is no ACL", () => {
    expect(inheritAcl(Buffer.from("value"), 0o644)).toBeUndefined();
  });
});

const modeOf = async (user: KernelUser, path: string) => ((await user.stat(path)).mode & 0o7777).toString(8);
const aclOf = async (user: KernelUser, path: string, name = ACCESS_ACL) => user.fs.getxattr(await user.node(path), name, user.caller);

describe("a mount whose kernel enforces ACLs", () => {
  it("applies the umask where there is no default ACL, and the default ACL alone where there is one", async () => {
    await using world = await VfsWorld.open({ options: { acl: true } });
    const user = new KernelUser(world.fs, { caller: { ...world.user.caller, umask: 0o027 } });
    await user.mkdir("d", 0o777);
    await (await user.open("d/before", O_WRONLY | O_CREAT, 0o666)).close();
    await user.setxattr("d", DEFAULT_ACL, NAMED);
    await (await user.open("d/after", O_WRONLY | O_CREAT, 0o666)).close();
    await user.mkdir("d/sub", 0o777);
    await user.symlink("d/link", "after");
    expect(await Promise.all(["d", "d/before", "d/after", "d/sub", "d/link"].map((path) => modeOf(user, path)))).toEqual(
      ["750", "640", "660", "771", "777"], //
    );
    expect(Buffer.from(await aclOf(user, "d/sub", DEFAULT_ACL)).equals(NAMED)).toBe(true);
    expect((await world.store.head("d/after")).metadata["xattr"]).toMatch(/posix_acl_access/);
    expect((await world.store.head("d/link")).metadata["xattr"]).toBeUndefined();
    expect(await faultOf(aclOf(user, "d/after", DEFAULT_ACL))).toBe("no_data");
  });

  it("refuses to make what its ACLs do not fit into, and leaves nothing behind", async () => {
    await using world = await VfsWorld.open({ options: { acl: true } });
    const names = Array.from({ length: 100 }, (_, id) => [0x02, 4, id] as const);
    await world.user.mkdir("d", 0o755);
    await world.user.setxattr("d", DEFAULT_ACL, acl([0x01, 7], ...names, [0x04, 5], [0x10, 7], [0x20, 1]));
    expect(await faultOf(world.user.mkdir("d/sub", 0o755))).toBe("no_space");
    expect(await world.user.readdir("d")).toEqual([]);
  });

  it("shows an ACL no wider than the mode that is shown, and none where all belongs to a group", async () => {
    await using world = await VfsWorld.open({ options: { acl: true, umask: 0o077 } });
    await world.user.writeFile("f", "x");
    await world.user.setxattr("f", ACCESS_ACL, NAMED);
    expect(readAccessAcl(await aclOf(world.user, "f"))?.mode.toString(8)).toBe("700");
    world.fs.showToGroup(77);
    expect(await faultOf(aclOf(world.user, "f"))).toBe("no_data");
    const user = new KernelUser(world.fs, { caller: { ...world.user.caller, umask: 0o077 } });
    await user.mkdir("d", 0o777);
    await user.setxattr("d", DEFAULT_ACL, NAMED);
    await (await user.open("d/made", O_WRONLY | O_CREAT, 0o666)).close();
    expect((await world.store.head("d/made")).metadata).toMatchObject({ mode: String(0o100660), gid: "77" });
    expect(await faultOf(aclOf(user, "d/made"))).toBe("no_data");
  });
});

describe("values of attributes", () => {
  it("are copied: a channel may take its memory back", async () => {
    await using world = await VfsWorld.open();
    await world.user.writeFile("f", "x");
    for (const name of [ACCESS_ACL, "user.x"]) {
      const value = Buffer.from(NAMED);
      await world.fs.setxattr(await world.user.node("f"), name, value, 0, world.user.caller);
      value.fill(0xff);
      expect(Buffer.from(await aclOf(world.user, "f", name)).equals(NAMED), name).toBe(true);
    }
  });
});
