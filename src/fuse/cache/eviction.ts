/**
 * Which cached files go when the cache is over its limit: pure policy, least recently used first.
 */

export interface Evictable {
  /** Space that its removal gives back. */
  readonly bytes: number;
  /** In use: must stay. */
  readonly pinned: boolean;
}

/** One in this many bytes of the limit is freed beyond the need, so that a full cache does not evict at each new file. */
const SLACK_DIVISOR = 32;

/**
 * The files to remove so that `extraBytes` more fit under the limit, oldest first. None when they fit already. A file that alone
 * is over the limit goes first: otherwise it would push out everything older and then go nevertheless. The answer may free too
 * little when the rest is pinned.
 */
export function chooseVictims<T extends Evictable>(
  oldestFirst: Iterable<T>,
  { totalBytes, limitBytes, extraBytes = 0 }: { totalBytes: number; limitBytes: number; extraBytes?: number },
): T[] {
  if (totalBytes + extraBytes <= limitBytes) return [];
  const target = Math.max(0, limitBytes - Math.floor(limitBytes / SLACK_DIVISOR) - extraBytes);
  const candidates: T[] = [];
  const victims: T[] = [];
  let total = totalBytes;
  for (const file of oldestFirst) {
    if (file.pinned) continue;
    if (file.bytes > limitBytes) {
      victims.push(file);
      total -= file.bytes;
    } else {
      candidates.push(file);
    }
  }
  for (const file of candidates) {
    if (total <= target) break;
    victims.push(file);
    total -= file.bytes;
  }
  return victims;
}
