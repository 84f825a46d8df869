import fc from "fast-check";
import { expect, test } from "vitest";
import { RangeSet } from "#core/ranges.ts";
import { PartQueue, type QueuedPart } from "#fuse/read/part-queue.ts";
import type { PartStream } from "#fuse/read/part-stream.ts";

const partOf = (start: number, end: number): QueuedPart => ({
  stream: { start, end } as PartStream,
  heldBytes: end - start,
  kept: undefined,
  isWriting: false,
  touchedMs: 0,
  diskOnly: false,
  settled: Promise.resolve(),
});

test("`PartQueue` names as uncovered exactly what neither its parts nor the disk have", () => {
  const bounds = fc.uniqueArray(fc.nat(200), { maxLength: 16 }).map((all) => all.sort((a, b) => a - b));
  const pairs = bounds.map((all) => Array.from({ length: all.length >> 1 }, (_, i) => [all[2 * i] ?? 0, all[2 * i + 1] ?? 0] as const));
  fc.assert(
    fc.property(pairs, pairs, fc.nat(200), fc.nat(200), (parts, onDisk, a, b) => {
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      const queue = new PartQueue();
      for (const [from, to] of parts.toReversed()) queue.insert(partOf(from, to));
      const disk = RangeSet.from(onDisk);
      const all = RangeSet.from([...parts, ...onDisk]);
      expect(RangeSet.from(queue.uncovered(disk.missing(start, end))).toJSON()).toEqual(RangeSet.from(all.missing(start, end)).toJSON());
      for (let at = 0; at <= 200; at++) expect(queue.at(at) !== undefined).toBe(parts.some(([from, to]) => from <= at && at < to));
    }),
  );
});
