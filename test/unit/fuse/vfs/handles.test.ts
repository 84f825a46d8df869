import { describe, expect, it } from "vitest";
import { Handles } from "#fuse/vfs/handles.ts";
import { InodeTable } from "#fuse/vfs/inode-table.ts";
import { createMemoryMedium, createMemoryStateStore } from "../../../support/memory-state-store.ts";

function open() {
  const medium = createMemoryMedium();
  const state = createMemoryStateStore(medium);
  const { root } = new InodeTable(state);
  return { medium, root, handles: new Handles(state) };
}

describe("Handles", () => {
  it("each has a row while it is open", () => {
    const { medium, root, handles } = open();
    const file = handles.openFile(root, 2);
    const directory = handles.openDirectory(root);
    expect([...medium.handles.values()]).toEqual([
      { handle: file.id, node: root.node, kind: "file", flags: 2 },
      { handle: directory.id, node: root.node, kind: "dir", flags: 0 },
    ]);
    expect(handles.isOpen(root.node)).toBe(true);
    handles.close(file.id);
    handles.close(directory.id);
    expect(medium.handles.size).toBe(0);
    expect(handles.size).toBe(0);
    expect(handles.isOpen(root.node)).toBe(false);
  });

  it("a closed, unknown or other kind of handle is `bad_handle`", () => {
    const { root, handles } = open();
    const file = handles.openFile(root, 0);
    const badHandle = expect.objectContaining({ fault: "bad_handle" });
    expect(() => handles.directory(file.id)).toThrow(badHandle);
    handles.close(file.id);
    expect(() => handles.file(file.id)).toThrow(badHandle);
    expect(handles.close(file.id)).toBeUndefined();
  });

  it("a successor gives out no number again", () => {
    const { medium, root, handles } = open();
    const last = handles.openFile(root, 0);
    handles.close(last.id);
    const next = new Handles(createMemoryStateStore(medium));
    expect(next.openFile(root, 0).id).toBeGreaterThan(last.id);
  });
});
