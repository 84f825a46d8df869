/**
 * Bringing a whole version to the disk: a small one with one GET into one file; a large one in parts, several at once,
 * beside whatever its readers fetch.
 */
import { DriverError } from "#core/errors.ts";
import type { ContentId, WholeFile } from "#fuse/cache/content-cache.ts";
import type { QueuedPart } from "./part-queue.ts";
import { PartStream } from "./part-stream.ts";
import type { ContentSources, VersionContent } from "./version-content.ts";
import { MAX_PART_BYTES, splitIntoParts } from "./window.ts";

const PARTS_AT_ONCE = 6;

/** Makes the version a whole file of the cache. Throws `no_space` when it does not fit beside what is in use. */
export async function fillVersion(content: VersionContent, sources: ContentSources): Promise<void> {
  if (content.open()) return;
  const isSmall = content.id.size <= MAX_PART_BYTES && content.isUntouched;
  const file = isSmall ? await fetchSmall(content.id, sources) : await fetchInParts(content, sources);
  if (file !== undefined) content.becameWhole(file);
}

async function fetchSmall(id: ContentId, sources: ContentSources): Promise<WholeFile> {
  const { cache, budget } = sources;
  if (id.size === 0) return cache.store(id, []);
  await budget.takeWhenFree(id.size);
  const stream = new PartStream(sources, id, 0, id.size);
  try {
    await stream.ended;
    if (stream.error !== undefined) throw stream.error;
    return await cache.store(id, stream.chunks);
  } finally {
    stream.letGo();
    budget.give(id.size);
  }
}

async function fetchInParts(content: VersionContent, { budget }: ContentSources): Promise<WholeFile | undefined> {
  const partial = content.openPartial();
  if (partial === undefined) throw noRoom(content.id);
  const own = new Set<QueuedPart>();
  while (!partial.complete) {
    if (content.isClosed) throw new DriverError("interrupted", `the reader of ${content.id.key} was closed`);
    const isAllCovered = await startParts(content, budget, own);
    const running = content.parts.list().filter((part) => part.kept === undefined);
    if (isAllCovered && running.length === 0) throw noRoom(content.id);
    if (running.length > 0) await Promise.race(running.map((part) => part.settled));
    checkEnded(content.id, own);
  }
  return content.isWhole ? undefined : partial.promote();
}

/** Throws for the first own part that failed or that the disk did not take; forgets those that are done. */
function checkEnded(id: ContentId, own: Set<QueuedPart>): void {
  for (const part of own) {
    if (part.kept === undefined) continue;
    own.delete(part);
    if (part.stream.error !== undefined) throw part.stream.error;
    if (!part.kept) throw noRoom(id);
  }
}

/** Tops up to `PARTS_AT_ONCE` as far as memory allows; waits for memory when it has none. True when nothing is left to begin. */
async function startParts(content: VersionContent, budget: ContentSources["budget"], own: Set<QueuedPart>): Promise<boolean> {
  const gaps = content.uncovered(0, content.id.size);
  for (const { start, end } of gaps.flatMap(([from, to]) => splitIntoParts(from, to, MAX_PART_BYTES))) {
    if (own.size >= PARTS_AT_ONCE) return false;
    if (!budget.tryTake(end - start)) {
      if (own.size === 0) await startOneWhenFree(content, budget, own, start, end);
      return false;
    }
    own.add(content.fetch(start, end, true));
  }
  return gaps.length === 0;
}

async function startOneWhenFree(
  content: VersionContent,
  budget: ContentSources["budget"],
  own: Set<QueuedPart>,
  start: number,
  end: number,
): Promise<void> {
  await budget.takeWhenFree(end - start);
  const [gap] = content.uncovered(start, end);
  // Readers went on meanwhile, and may have begun it.
  if (!content.isClosed && gap?.[0] === start && gap[1] === end) own.add(content.fetch(start, end, true));
  else budget.give(end - start);
}

function noRoom({ key, size }: ContentId): DriverError {
  return new DriverError("no_space", `${key} with ${size} bytes does not fit into the cache beside what is in use`, { context: { key } });
}
