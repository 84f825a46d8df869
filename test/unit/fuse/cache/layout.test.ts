import { describe, expect, test } from "vitest";
import { classify, contentName, contentPath, isLeftover, recordPath, tempPath, unfinishedPath } from "#fuse/cache/layout.ts";
import { version } from "../../../contract/content-cache.contract.ts";

const name = contentName(version("key", 10));

describe("layout", () => {
  test("`contentName` differs when key, ETag or size do, also where their texts run together", () => {
    const ids = [version("a", 1, "b"), version("a", 11, "b"), version("a", 1, "c"), version("ab", 1, ""), version("", 1, "ab")];
    expect(new Set(ids.map(contentName)).size).toBe(ids.length);
    expect(contentName(version("a", 1, "b"))).toBe(contentName(version("a", 1, "b")));
  });

  test("`classify` knows the files that this cache makes", () => {
    const bucket = name.slice(0, 2);
    const file = contentPath("partial", name).split("/").at(-1) ?? "";
    expect(classify(bucket, file)).toEqual({ name, kind: "content" });
    expect(classify(bucket, recordPath(file))).toEqual({ name, kind: "record" });
    expect(classify(bucket, unfinishedPath(recordPath(file)))).toEqual({ name, kind: "unfinished" });
  });

  test("`classify` disowns everything else", () => {
    const bucket = name.slice(0, 2);
    const elsewhere = bucket === "00" ? "01" : "00";
    for (const file of ["notes.txt", name.toUpperCase(), `${name}.bak`, name.slice(1), `.${name}`])
      expect(classify(bucket, file)).toBeUndefined();
    expect(classify(elsewhere, name)).toBeUndefined();
  });

  test("`isLeftover` tells temporary files of other runs from this one's and from foreign ones", () => {
    const file = tempPath(name, "run1", 7).slice("temp/".length);
    expect(isLeftover(file, "run2")).toBe(true);
    expect(isLeftover(file, "run1")).toBe(false);
    expect(isLeftover("notes.txt", "run2")).toBe(false);
  });
});
