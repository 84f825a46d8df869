import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDONLY, O_RDWR } from "../../../support/kernel-user.ts";
import { VfsWorld } from "../../../support/vfs-world.ts";

describe("openContent", () => {
  it("gives the kernel no file to write to by itself whose mode a write must change", async () => {
    await using world = await VfsWorld.open({ passthrough: true });
    const { user } = world;
    const plain = await user.open("plain", O_RDWR | O_CREAT, 0o755);
    expect(plain.opened.backingId).toBeDefined();
    await plain.close();
    for (const mode of [0o4755, 0o2755]) {
      const name = mode.toString(8);
      const made = await user.open(name, O_RDWR | O_CREAT, mode);
      expect(made.opened.backingId).toBeUndefined();
      await made.write(0, "x");
      await made.close();
      const again = await user.open(name, O_RDONLY);
      expect(again.opened.backingId).toBeUndefined();
      await again.close();
      await user.setattr(name, { mode: 0o755 });
      const without = await user.open(name, O_RDWR);
      expect(without.opened.backingId).toBeDefined();
      expect((await without.readAll()).toString()).toBe("x");
      await without.close();
    }
  });
});
