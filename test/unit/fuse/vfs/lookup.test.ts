import { describe, expect, it } from "vitest";
import { ALICE, faultOf, O_CREAT, O_WRONLY } from "../../../support/kernel-user.ts";
import { METADATA_TTL_MS, seededWorld, VfsWorld } from "../../../support/vfs-world.ts";

describe("directories in Hadoop's form, NAME_$folder$", () => {
  const marked = async (...names: string[]) => {
    const world = await VfsWorld.open();
    for (const name of names) world.memory.seed(`${name}_$folder$`, "");
    return world;
  };

  it("show as directories, and not as files", async () => {
    await using world = await marked("empty", "full", "full/sub");
    world.memory.seed("full/file", "x");
    expect((await world.user.readdir("")).sort()).toEqual(["empty", "full"]);
    expect((await world.user.readdir("full")).sort()).toEqual(["file", "sub"]);
    expect((await world.user.stat("empty")).mode.toString(8)).toBe("40755");
    expect(await world.user.exists("empty_$folder$")).toBe(false);
    expect(await faultOf(world.user.writeFile("new_$folder$", "x"))).toBe("bad_argument");
    expect(await faultOf(world.user.rmdir("full"))).toBe("not_empty");
  });

  it("are empty: an object with content that is called so is no directory, and no rmdir takes it", async () => {
    await using world = await marked("empty");
    world.memory.seed("data_$folder$", "somebody's");
    expect(await world.user.readdir("")).toEqual(["empty"]);
    world.memory.seed("empty_$folder$", "somebody's");
    await world.user.rmdir("empty");
    await world.user.mkdir("data");
    await world.user.rmdir("data");
    expect(world.memory.keys).toEqual(["data_$folder$", "empty_$folder$"]);
  });

  it("go with rmdir", async () => {
    await using world = await marked("empty");
    await world.user.rmdir("empty");
    world.clock.advance(METADATA_TTL_MS);
    expect([await world.user.readdir(""), world.memory.keys]).toEqual([[], []]);
  });

  it("move with rename, as directories of ours, with all below", async () => {
    await using world = await marked("empty", "full", "full/sub");
    world.memory.seed("full/file", "x");
    await world.user.rename("empty", "moved");
    await world.user.rename("full", "there");
    world.clock.advance(METADATA_TTL_MS);
    expect((await world.user.readdir("")).sort()).toEqual(["moved", "there"]);
    expect(world.memory.keys).toEqual(["moved/", "there/", "there/file", "there/sub_$folder$"]);
  });

  it("are found by name among more entries than a listing has, where one of them was seen", async () => {
    await using world = await seededWorld(1100);
    for (const name of ["a", "zz"]) world.memory.seed(`d/${name}_$folder$`, "");
    expect((await world.user.stat("d/zz")).mode.toString(8)).toBe("40755");
    expect(await world.user.exists("d/zy")).toBe(false);
    await world.user.rmdir("d/zz");
    expect(await world.user.exists("d/zz")).toBe(false);
    expect(await world.memory.head("d/zz_$folder$").catch(() => "gone")).toBe("gone");
  });
});

describe("what others note in forms of their own", () => {
  it("plain metadata is no extended attribute, and stays through a change", async () => {
    await using world = await VfsWorld.open();
    await world.store.put("f", Buffer.from("x"), { metadata: { md5chksum: "abc", owner: "theirs" } });
    expect(await world.fs.listxattr(await world.user.node("f"), ALICE)).toEqual([]);
    await world.user.setxattr("f", "user.md5chksum", "ours");
    expect((await world.store.head("f")).metadata).toMatchObject({ md5chksum: "abc", owner: "theirs" });
    expect(await world.user.getxattr("f", "user.md5chksum")).toBe("ours");
  });

  it("rclone's links are the files that they are: a file's name is its key", async () => {
    await using world = await VfsWorld.open();
    world.memory.seed("link", "a file beside it");
    world.memory.seed("link.rclonelink", "the/target");
    expect((await world.user.readdir("")).sort()).toEqual(["link", "link.rclonelink"]);
    expect(await world.user.text("link.rclonelink")).toBe("the/target");
  });
});

describe("close-to-open between two hosts", () => {
  for (const passthrough of [false, true]) {
    it(`an open after the TTL sees what was closed elsewhere, as another node${passthrough ? ", in passthrough" : ""}`, async () => {
      await using here = await VfsWorld.open({ passthrough });
      await using there = await here.other();
      await here.user.writeFile("f", "first");
      const before = await here.user.stat("f");
      const reader = await here.user.open("f");
      await there.user.writeFile("f", "second version");
      here.clock.advance(METADATA_TTL_MS);
      expect(await here.user.text("f")).toBe("second version");
      expect((await here.user.stat("f")).size).toBe(14);
      // The reader keeps the version that it opened; that one has the node.
      expect((await reader.readAll()).toString()).toBe("first");
      expect((await here.user.stat("f")).ino).not.toBe(before.ino);
      await reader.close();
      expect(await here.user.text("f")).toBe("second version");
    });
  }

  it("names that came and went elsewhere are seen after the TTL, and not before they need to be", async () => {
    await using here = await VfsWorld.open();
    await using there = await here.other();
    await here.user.writeFile("old", "x");
    expect(await here.user.exists("new")).toBe(false);
    await there.user.writeFile("new", "y");
    await there.user.unlink("old");
    await there.user.mkdir("dir");
    here.clock.advance(METADATA_TTL_MS);
    expect(await here.user.exists("old")).toBe(false);
    expect(await here.user.text("new")).toBe("y");
    expect((await here.user.readdir("")).sort()).toEqual(["dir", "new"]);
  });

  it("a file that became a directory elsewhere, and back, is what it is", async () => {
    await using here = await VfsWorld.open();
    await here.user.writeFile("x", "file");
    await here.memory.delete("x");
    here.memory.seed("x/y", "below");
    here.clock.advance(METADATA_TTL_MS);
    expect(await here.user.text("x/y")).toBe("below");
    await here.memory.delete("x/y");
    here.memory.seed("x", "file again");
    here.clock.advance(METADATA_TTL_MS * 10);
    expect(await here.user.text("x")).toBe("file again");
  });

  it("chmod elsewhere is seen after the TTL, though the content is the same", async () => {
    await using here = await VfsWorld.open();
    await using there = await here.other();
    await here.user.writeFile("f", "x");
    await here.user.mkdir("d");
    here.clock.advance(5000);
    await there.user.setattr("f", { mode: 0o600 });
    await there.user.setattr("d", { mode: 0o700 });
    here.clock.advance(METADATA_TTL_MS * 10);
    expect((await here.user.stat("f")).mode & 0o7777).toBe(0o600);
    await here.user.readdir("d");
    expect((await here.user.stat("d")).mode & 0o7777).toBe(0o700);
    await there.user.setattr("d", { mode: 0o711 });
    // Nobody lists it again: its marker is believed longer, but not for ever.
    here.clock.advance(METADATA_TTL_MS * 60);
    expect((await here.user.stat("d")).mode & 0o7777).toBe(0o711);
  });

  it("a version that goes between look-up and open makes the kernel look up again", async () => {
    await using here = await VfsWorld.open();
    here.memory.seed("f", "first");
    await here.user.stat("f");
    here.memory.seed("f", "second");
    expect(await here.user.text("f")).toBe("second");
    await here.memory.delete("f");
    here.user.forgetAll();
    here.clock.advance(METADATA_TTL_MS);
    expect(await faultOf(here.user.text("f"))).toBe("not_found");
  });

  it("a large file that is replaced while it is read gives `stale`, never mixed bytes", async () => {
    await using here = await VfsWorld.open({ options: { fillAtOpenBytes: 0 } });
    const [old, replacement] = [Buffer.alloc(40 << 20, "a"), Buffer.alloc(40 << 20, "b")];
    here.memory.seed("f", old);
    const file = await here.user.open("f");
    await file.read(0, 10);
    here.memory.seed("f", replacement);
    const late = await file.read((40 << 20) - 10, 10).then(
      (bytes) => bytes.toString(),
      (error: { fault: string }) => error.fault,
    );
    expect(["stale", "aaaaaaaaaa"]).toContain(late);
    await file.close();
  });
});

describe("what a directory shows", () => {
  it("keys below a prefix make directories, which stay when their last entry goes", async () => {
    await using world = await VfsWorld.open();
    world.memory.seed("a/b/c", "x");
    expect(await world.user.readdir("")).toEqual(["a"]);
    expect(await world.user.stat("a/b")).toMatchObject({ mode: 0o040755, uid: 500, gid: 500 });
    expect(await world.user.text("a/b/c")).toBe("x");
    await world.user.unlink("a/b/c");
    world.clock.advance(METADATA_TTL_MS * 10);
    expect(await world.user.readdir("a")).toEqual(["b"]);
    await world.user.rmdir("a/b");
    await world.user.rmdir("a");
    expect(world.memory.keys).toEqual([]);
  });

  it("the driver's own name is hidden and protected at the root, and a plain name elsewhere", async () => {
    await using world = await VfsWorld.open();
    world.memory.seed(".bucketmount/owner", "mark");
    world.memory.seed("d/.bucketmount", "plain");
    expect(await world.user.readdir("")).toEqual(["d"]);
    expect(await world.user.exists(".bucketmount")).toBe(false);
    expect(await world.user.text("d/.bucketmount")).toBe("plain");
    const { parent } = await world.user.place("x");
    expect(await faultOf(world.user.mkdir(".bucketmount"))).toBe("not_permitted");
    expect(await faultOf(world.fs.create(parent, ".bucketmount", 0o100644, O_WRONLY | O_CREAT, ALICE))).toBe("not_permitted");
    expect(await faultOf(world.user.rmdir(".bucketmount"))).toBe("not_permitted");
    await world.user.writeFile("f", "x");
    expect(await faultOf(world.user.rename("f", ".bucketmount"))).toBe("not_permitted");
    expect(world.memory.text(".bucketmount/owner")).toBe("mark");
  });

  it("names that are no UTF-8 are refused, and keys that cannot be names are left out", async () => {
    await using world = await VfsWorld.open();
    for (const key of ["a//b", "./x", "../y", `${"n".repeat(256)}`, "ok"]) world.memory.seed(key, "x");
    expect((await world.user.readdir("")).sort()).toEqual(["a", "ok"]);
    expect(await world.user.readdir("a")).toEqual([]);
    expect(await faultOf(world.user.mkdir("caf\udce9"))).toBe("bad_argument");
    expect(await faultOf(world.user.writeFile("caf\udce9", "x"))).toBe("bad_argument");
    expect(await faultOf(world.user.symlink("l", "caf\udce9"))).toBe("bad_argument");
  });

  it("symlinks of s3fs (the target in the body) and of geesefs (in a header) show alike", async () => {
    await using world = await VfsWorld.open();
    world.memory.seed("s3fs", "target/of s3fs", { metadata: { mode: "41471" } });
    world.memory.seed("geesefs", "", { metadata: { "--symlink-target": "t%20%C3%A9" } });
    expect(await world.user.readlink("s3fs")).toBe("target/of s3fs");
    expect(await world.user.readlink("geesefs")).toBe("t é");
    await world.user.symlink("ours", "t é");
    expect(world.memory.text("ours")).toBe("t é");
    expect(world.memory.metadata("ours")).toMatchObject({ mode: "41471", "--symlink-target": "t %C3%A9" });
  });

  it("more entries than fit a page are shown in order, with stable offsets, and found by name", async () => {
    await using world = await seededWorld(2500);
    expect((await world.user.stat("d/f02499")).size).toBe("content 2499".length);
    const names = await world.user.readdir("d", { chunk: 128 });
    expect(names.length).toBe(2500);
    expect(new Set(names).size).toBe(2500);
    expect(await world.user.text("d/f01234")).toBe("content 1234");
    expect(await world.user.exists("d/nothing")).toBe(false);
    await world.user.writeFile("d/new", "new");
    await world.user.unlink("d/f00000");
    world.clock.advance(METADATA_TTL_MS * 10);
    expect((await world.user.readdir("d")).length).toBe(2500);
    expect(await faultOf(world.user.rmdir("d"))).toBe("not_empty");
  });

  it("a read-only mount refuses every change and sends no request for it", async () => {
    await using world = await VfsWorld.open({ options: { readOnly: true } });
    world.memory.seed("f", "x");
    world.memory.seed("d/g", "y");
    const { fs, user } = world;
    const { node } = await user.entry("f");
    const { parent } = await user.place("new");
    await user.stat("d/g");
    const requests = await world.memory.requestsDuring(async () => {
      const refused = await Promise.all(
        [
          fs.create(parent, "new", 0o100644, O_WRONLY, ALICE),
          fs.open(node, O_WRONLY),
          fs.open(node, 0o1000),
          fs.mkdir(parent, "new", 0o755, ALICE),
          fs.mknod(parent, "new", 0o100644, 0, ALICE),
          fs.symlink(parent, "new", "x", ALICE),
          fs.unlink(parent, "f"),
          fs.rmdir(parent, "d"),
          fs.rename(parent, "f", parent, "g", 0),
          fs.setattr(node, { mode: 0o600 }),
          fs.setattr(node, { size: 0 }),
          fs.setxattr(node, "user.a", Buffer.from("1"), 0),
          fs.removexattr(node, "user.a"),
        ].map((work) => faultOf(work)),
      );
      expect(refused).toEqual(refused.map(() => "read_only"));
    });
    expect(requests).toEqual({});
    expect(await user.text("f")).toBe("x");
  });
});
