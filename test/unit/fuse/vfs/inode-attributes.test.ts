import { describe, expect, it } from "vitest";
import { VfsWorld } from "../../../support/vfs-world.ts";

describe("touch", () => {
  it("the times of a directory that moved with its entries stay moved when its marker is looked at again", async () => {
    await using world = await VfsWorld.open({ options: { metadataTtlMs: 0 } });
    const { clock, user } = world;
    await user.mkdir("made");
    await world.store.put("others/file", new Uint8Array(), {});
    for (const name of ["made", "others"]) {
      const before = (await user.stat(name)).mtime;
      clock.advance(5000);
      await user.writeFile(`${name}/entry`, "x");
      const { mtime } = await user.stat(name);
      expect(mtime).not.toEqual(before);
      clock.advance(600_000);
      await user.readdir("");
      expect((await user.stat(name)).mtime).toEqual(mtime);
    }
    // Set elsewhere, it is the other host's word that counts.
    await using there = await world.other();
    const set = { sec: 1_000_000_000, nsec: 5 };
    await there.user.setattr("made", { mtime: set });
    expect((await user.stat("made")).mtime).toEqual(set);
  });
});
