/** Modes, owners, times, extended attributes. */
import { expect } from "vitest";
import { XATTR_CREATE, XATTR_REPLACE } from "#fuse/vfs/filesystem.ts";
import { faultOf, O_CREAT, O_RDWR, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

const S_IFDIR = 0o040000;
const seconds = (sec: number, nsec = 0) => ({ sec, nsec });

export const attributes: Checks = {
  "chmod, chown and utimens last": async ({ user, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.mkdir("d");
    for (const path of ["f", "d"]) {
      await user.setattr(path, { mode: 0o4711 });
      await user.setattr(path, { uid: 7, gid: 8 });
      await user.setattr(path, { atime: seconds(1_000_000_000, 5), mtime: seconds(1_100_000_000, 123_456_789) });
      for (const again of [false, true]) {
        if (again) letTimePass();
        const attr = await user.stat(path);
        expect(attr.mode & 0o7777).toBe(0o4711);
        expect(attr).toMatchObject({ uid: 7, gid: 8, atime: seconds(1_000_000_000, 5), mtime: seconds(1_100_000_000, 123_456_789) });
      }
    }
    expect(await user.text("f")).toBe("x");
  },
  "chmod keeps the type": async ({ user }) => {
    await user.mkdir("d");
    expect((await user.setattr("d", { mode: 0o100600 })).mode).toBe(S_IFDIR | 0o600);
  },
  "fchmod and futimens of a file being written ride along": async ({ user, fs, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await file.write(0, "x");
    await fs.setattr(file.node, { mode: 0o600 }, file.handle, user.caller);
    await fs.setattr(file.node, { mtime: seconds(1_100_000_000, 1) }, file.handle, user.caller);
    expect(await file.stat()).toMatchObject({ mode: 0o100600, mtime: seconds(1_100_000_000, 1), size: 1 });
    await file.close();
    letTimePass();
    expect(await user.stat("f")).toMatchObject({ mode: 0o100600, mtime: seconds(1_100_000_000, 1), size: 1 });
  },
  "a write moves mtime and ctime, a close leaves them": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000), ctime: seconds(1_000_000_000) });
    const file = await user.open("f", O_WRONLY);
    expect((await file.stat()).mtime).toEqual(seconds(1_000_000_000));
    await file.write(0, "y");
    const written = await file.stat();
    expect(written.mtime.sec).toBeGreaterThan(1_000_000_000);
    await file.close();
    const closed = await user.stat("f");
    expect(closed.mtime).toEqual(written.mtime);
    expect(closed.ctime).toEqual(written.ctime);
  },
  "a new file shows the same times before and after its close": async ({ user, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    const { mtime, ctime, atime } = await file.stat();
    await file.close();
    expect(await user.stat("f")).toMatchObject({ mtime, ctime, atime });
    letTimePass();
    await user.setattr("f", { atime: seconds(1_000_000_000) });
    expect(await user.stat("f")).toMatchObject({ mtime, atime: seconds(1_000_000_000) });
  },
  "an open for writing that writes nothing leaves the mtime": async ({ user, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000) });
    const file = await user.open("f", O_RDWR);
    await file.close();
    letTimePass();
    expect((await user.stat("f")).mtime).toEqual(seconds(1_000_000_000));
  },
  "chmod leaves the mtime and moves the ctime": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mtime: seconds(1_000_000_000), ctime: seconds(1_000_000_000) });
    const after = await user.setattr("f", { mode: 0o600 });
    expect(after.mtime).toEqual(seconds(1_000_000_000));
    expect(after.ctime.sec).toBeGreaterThan(1_000_000_000);
  },
  "killSuidGid drops the privileges that a write must drop": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setattr("f", { mode: 0o6775 });
    expect((await user.setattr("f", { size: 0, killSuidGid: true })).mode & 0o7777).toBe(0o775);
    // Without group execute the setgid bit means mandatory locking and stays.
    await user.setattr("f", { mode: 0o6764 });
    expect((await user.setattr("f", { size: 1, killSuidGid: true })).mode & 0o7777).toBe(0o2764);
  },
  "a setgid directory gives its group, and to directories the bit": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    await user.setattr("d", { gid: 4321 });
    await user.setattr("d", { mode: 0o2775 });
    await user.writeFile("d/f", "x");
    await user.mkdir("d/e", 0o755);
    letTimePass();
    expect(await user.stat("d/f")).toMatchObject({ gid: 4321, mode: 0o100644 });
    expect(await user.stat("d/e")).toMatchObject({ gid: 4321, mode: S_IFDIR | 0o2755 });
  },
  "extended attributes can be set, listed, read and removed": async ({ user, fs, letTimePass }) => {
    await user.writeFile("f", "x");
    await user.mkdir("d");
    for (const path of ["f", "d"]) {
      await user.setxattr(path, "user.one", "1");
      await user.setxattr(path, "user.two", Buffer.from([0, 255, 10]));
      letTimePass();
      expect([...(await fs.listxattr(await user.node(path), user.caller))].sort()).toEqual(["user.one", "user.two"]);
      expect(await user.getxattr(path, "user.one")).toBe("1");
      expect(Buffer.from(await fs.getxattr(await user.node(path), "user.two", user.caller))).toEqual(Buffer.from([0, 255, 10]));
      await fs.removexattr(await user.node(path), "user.one", user.caller);
      letTimePass();
      expect(await fs.listxattr(await user.node(path), user.caller)).toEqual(["user.two"]);
      expect(await faultOf(user.getxattr(path, "user.one"))).toBe("no_data");
      expect(await faultOf(fs.removexattr(await user.node(path), "user.one", user.caller))).toBe("no_data");
    }
    expect(await user.text("f")).toBe("x");
  },
  "setxattr obeys XATTR_CREATE and XATTR_REPLACE": async ({ user }) => {
    await user.writeFile("f", "x");
    expect(await faultOf(user.setxattr("f", "user.a", "1", XATTR_REPLACE))).toBe("no_data");
    await user.setxattr("f", "user.a", "1", XATTR_CREATE);
    expect(await faultOf(user.setxattr("f", "user.a", "2", XATTR_CREATE))).toBe("exists");
    await user.setxattr("f", "user.a", "3", XATTR_REPLACE);
    expect(await user.getxattr("f", "user.a")).toBe("3");
  },
  "extended attributes beyond the store's limit are refused and change nothing": async ({ user }) => {
    await user.writeFile("f", "x");
    await user.setxattr("f", "user.small", "1");
    expect(await faultOf(user.setxattr("f", "user.big", Buffer.alloc(4000)))).toBe("no_space");
    expect(await user.getxattr("f", "user.small")).toBe("1");
    expect(await faultOf(user.getxattr("f", "user.big"))).toBe("no_data");
    await user.setattr("f", { mode: 0o600 });
  },
  "extended attributes of a file being written ride along": async ({ user, fs, letTimePass }) => {
    const file = await user.open("f", O_WRONLY | O_CREAT);
    await fs.setxattr(file.node, "user.a", Buffer.from("1"), 0, user.caller);
    await file.write(0, "x");
    await file.close();
    letTimePass();
    expect(await user.getxattr("f", "user.a")).toBe("1");
  },
  "ACLs are kept, other attributes of the kernel's are refused": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    for (const name of ["system.posix_acl_access", "system.posix_acl_default", "security.capability", "trusted.x"]) {
      await user.setxattr("d", name, "value");
      letTimePass();
      expect(await user.getxattr("d", name)).toBe("value");
    }
    for (const name of ["system.other", "other.x", "nothing", "user."]) {
      expect(await faultOf(user.setxattr("d", name, "1"))).toBe("unsupported");
    }
  },
  "an access ACL sets the mode, and stays only where it says more than a mode": async ({ user, letTimePass }) => {
    const acl = (...entries: number[][]) =>
      Buffer.concat([Buffer.from([2, 0, 0, 0]), ...entries.map(([tag = 0, bits = 0]) => Buffer.from([tag, 0, bits, 0, 9, 0, 0, 0]))]);
    const minimal = acl([0x01, 7], [0x04, 5], [0x20, 1]);
    await user.writeFile("f", "x");
    await user.setxattr("f", "system.posix_acl_access", minimal);
    letTimePass();
    expect((await user.stat("f")).mode & 0o7777).toBe(0o751);
    expect(await faultOf(user.getxattr("f", "system.posix_acl_access"))).toBe("no_data");
    await user.setxattr("f", "system.posix_acl_access", acl([0x01, 6], [0x02, 4], [0x04, 0], [0x10, 6], [0x20, 0]));
    letTimePass();
    expect((await user.stat("f")).mode & 0o7777).toBe(0o660);
    expect(await user.getxattr("f", "system.posix_acl_access")).toHaveLength(44);
    await user.setxattr("f", "system.posix_acl_access", minimal);
    letTimePass();
    expect((await user.stat("f")).mode & 0o7777).toBe(0o751);
    expect(await faultOf(user.getxattr("f", "system.posix_acl_access"))).toBe("no_data");
    expect(await user.text("f")).toBe("x");
  },
  "chmod moves the mask of an access ACL, and setting one may take set-group-id away": async ({ user, fs, letTimePass }) => {
    const acl = (mask: number) =>
      Buffer.from(`02000000010006000900000002000600e9030000040004000900000010000${mask}00090000002000000009000000`, "hex");
    await user.writeFile("f", "x");
    await user.setattr("f", { mode: 0o2770 });
    await user.setxattr("f", "system.posix_acl_access", acl(6));
    expect((await user.stat("f")).mode & 0o7777).toBe(0o2660);
    await user.setattr("f", { mode: 0o2640 });
    letTimePass();
    expect(Buffer.from(await fs.getxattr(await user.node("f"), "system.posix_acl_access", user.caller)).equals(acl(4))).toBe(true);
    await fs.setxattr(await user.node("f"), "system.posix_acl_access", acl(6), 0, user.caller, true);
    letTimePass();
    expect((await user.stat("f")).mode & 0o7777).toBe(0o660);
    await fs.removexattr(await user.node("f"), "system.posix_acl_default", user.caller);
  },
  "names in `trusted` are shown to root alone": async ({ user, fs }) => {
    await user.writeFile("f", "x");
    await user.setxattr("f", "trusted.x", "1");
    await user.setxattr("f", "user.x", "1");
    expect(await fs.listxattr(await user.node("f"), user.caller)).toEqual(["user.x"]);
    expect([...(await fs.listxattr(await user.node("f"), { ...user.caller, uid: 0 }))].sort()).toEqual(["trusted.x", "user.x"]);
  },
  "rename carries extended attributes along": async ({ user, letTimePass }) => {
    await user.writeFile("a", "x");
    await user.setxattr("a", "user.a", "1");
    await user.rename("a", "b");
    letTimePass();
    expect(await user.getxattr("b", "user.a")).toBe("1");
  },
  "statfs has room": async ({ fs, user }) => {
    const { bsize, bavail, namelen } = await fs.statfs(await user.node(""));
    expect(bsize * bavail).toBeGreaterThan(2 ** 40);
    expect(namelen).toBe(255);
  },
};
