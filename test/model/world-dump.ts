/** What a process sees of a whole tree, in the form of `ReferenceTree.dump`. */
import { expect } from "vitest";
import type { KernelUser } from "../support/kernel-user.ts";
import { describeNode } from "./reference-tree.ts";

export async function dumpOf(user: KernelUser): Promise<Record<string, string>> {
  const lines: Record<string, string> = {};
  const walk = async (at: string): Promise<void> => {
    for (const name of await user.readdir(at, { plus: true, chunk: 2 })) {
      const below = at === "" ? name : `${at}/${name}`;
      const { mode, size } = await user.stat(below);
      const isDirectory = (mode & 0o170000) === 0o040000;
      const bytes = isDirectory ? Buffer.alloc(0) : await user.readFile(below);
      if (!isDirectory) expect(size).toBe(bytes.length);
      lines[below] = describeNode(isDirectory ? "dir" : "file", mode, bytes);
      if (isDirectory) await walk(below);
    }
  };
  await walk("");
  return lines;
}
