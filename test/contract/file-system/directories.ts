/** Directory streams. */
import { expect } from "vitest";
import { type NodeId, ROOT_NODE } from "#core/brand.ts";
import { faultOf, O_CREAT, O_WRONLY } from "../../support/kernel-user.ts";
import type { Checks } from "./checks.ts";

export const directories: Checks = {
  "readdir shows every entry once, however small the chunks": async ({ user, letTimePass }) => {
    await user.mkdir("d");
    for (let i = 0; i < 30; i++) await user.writeFile(`d/f${i}`, "");
    const all = Array.from({ length: 30 }, (_, i) => `f${i}`).sort();
    letTimePass();
    for (const chunk of [1, 7, 100]) {
      for (const plus of [false, true]) expect((await user.readdir("d", { chunk, plus })).sort()).toEqual(all);
    }
  },
  "readdir begins with . and ..": async ({ user, fs }) => {
    await user.mkdir("d");
    await user.mkdir("d/e");
    const handle = await fs.opendir(await user.node("d/e"), 0, user.caller);
    const names: [string, number][] = [];
    await fs.readdir(handle, 0, false, ({ name, ino }) => names.push([name, ino]) > 0, user.caller);
    expect(names).toEqual([
      [".", (await user.stat("d/e")).ino],
      ["..", (await user.stat("d")).ino],
    ]);
    await fs.releasedir(handle);
  },
  "readdir's offsets lead on from each entry": async ({ user, fs }) => {
    for (const name of ["a", "b", "c", "d"]) await user.writeFile(name, name);
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    const all = await user.stream(handle);
    for (const [i, entry] of all.entries()) {
      const rest = await user.stream(handle, { offset: entry.nextOffset, chunk: 1 });
      expect(rest.map(({ name }) => name)).toEqual(all.slice(i + 1).map(({ name }) => name));
    }
    await fs.releasedir(handle);
  },
  "removing entries while reading (rm -r) leaves none out": async ({ user, fs }) => {
    await user.mkdir("d");
    for (let i = 0; i < 40; i++) await user.writeFile(`d/f${i}`, "");
    const handle = await fs.opendir(await user.node("d"), 0, user.caller);
    const seen: string[] = [];
    for (let offset = 0; ; ) {
      const some: { name: string; nextOffset: number }[] = [];
      await fs.readdir(handle, offset, false, (entry) => some.length < 5 && some.push(entry) > 0, user.caller);
      if (some.length === 0) break;
      for (const { name } of some) if (!name.startsWith(".")) seen.push(name);
      for (const { name } of some) if (!name.startsWith(".")) await user.unlink(`d/${name}`);
      offset = some.at(-1)?.nextOffset ?? 0;
    }
    await fs.releasedir(handle);
    expect(seen.length).toBe(40);
    await user.rmdir("d");
  },
  "an entry removed while a stream is open is not shown, and not brought back": async ({ user, fs }) => {
    for (const name of ["a", "b", "c"]) await user.writeFile(name, name);
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    await user.stream(handle, { plus: true });
    await user.unlink("b");
    const left = await user.stream(handle, { plus: true, offset: 2 });
    expect(left.map(({ name }) => name)).toEqual(["a", "c"]);
    await fs.releasedir(handle);
    expect(await user.exists("b")).toBe(false);
    expect((await user.readdir("")).sort()).toEqual(["a", "c"]);
  },
  "rewinding shows the directory as it is now": async ({ user, fs }) => {
    await user.writeFile("a", "");
    const handle = await fs.opendir(await user.node(""), 0, user.caller);
    expect((await user.stream(handle)).map(({ name }) => name)).toEqual(["a"]);
    await user.writeFile("b", "");
    await user.unlink("a");
    expect((await user.stream(handle)).map(({ name }) => name)).toEqual(["b"]);
    await fs.releasedir(handle);
  },
  "readdirplus counts look-ups that forget takes back": async ({ user, fs }) => {
    await user.writeFile("f", "x");
    // What is not in the bucket yet is kept in any case.
    await fs.syncAll();
    user.forgetAll();
    const [entry] = await user.entries("", { plus: true });
    expect(entry?.entry?.attr).toMatchObject({ size: 1, mode: 0o100644 });
    const node = entry!.entry!.node;
    await fs.getattr(node, undefined, user.caller);
    user.forgetAll();
    expect(await faultOf(fs.getattr(node, undefined, user.caller))).toBe("stale");
    expect(await user.text("f")).toBe("x");
  },
  "a forget of all earlier look-ups takes nothing from one that is under way": async ({ user, fs, letTimePass }) => {
    await user.mkdir("d");
    await user.writeFile("d/f", "x");
    await fs.syncAll();
    for (const [name, isKnown] of [
      ["d", true],
      ["d", false],
      ["f", true],
      ["f", false],
    ] as const) {
      user.forgetAll();
      const parent = name === "d" ? ROOT_NODE : await user.node("d");
      const first = await fs.lookup(parent, name, user.caller);
      if (!isKnown) letTimePass();
      const second = fs.lookup(parent, name, user.caller);
      fs.forget(first.node as NodeId, 1);
      const { node } = await second;
      expect(await faultOf(fs.getattr(node as NodeId, undefined, user.caller))).toBe("done");
      expect((await fs.lookup(parent, name, user.caller)).node).toBe(node);
      fs.forget(node as NodeId, 2);
    }
    expect(await user.text("d/f")).toBe("x");
  },
  "a directory that was removed while open is empty": async ({ user, fs }) => {
    await user.mkdir("d");
    const handle = await fs.opendir(await user.node("d"), 0, user.caller);
    await user.rmdir("d");
    expect(await user.stream(handle)).toEqual([]);
    await fs.releasedir(handle);
  },
  "nothing can be made in a directory that was removed": async ({ user, fs }) => {
    await user.mkdir("d");
    const node = await user.node("d");
    await user.rmdir("d");
    expect(await faultOf(fs.create(node, "f", 0o100644, O_WRONLY | O_CREAT, user.caller))).toBe("not_found");
    expect(await faultOf(fs.mkdir(node, "e", 0o755, user.caller))).toBe("not_found");
    expect(await user.readdir("")).toEqual([]);
  },
};
