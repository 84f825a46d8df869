/**
 * What to trust after the machine went down. Clean content is not synced: it can be had again. A killed process loses nothing,
 * the kernel has the pages; a machine that loses power may keep a file's name and size without its bytes. The kernel writes
 * dirty pages back after about half a minute, so only files changed shortly before the end are in doubt.
 *
 * A file `alive` holds the boot's id, and its mtime is the last sign of life of a cache that changes. After another boot,
 * files changed (ctime, which nobody can set) from shortly before that sign up to the boot are not trusted.
 */
import { readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";

/** How often a changing cache shows that it is alive. */
const SIGN_INTERVAL_MS = 60_000;
/** One interval, and what the kernel may take to write back: vm.dirty_expire_centisecs and dirty_writeback_centisecs, generously. */
const DOUBT_MS = SIGN_INTERVAL_MS + 120_000;

export interface PowerLossGuard {
  /** May a file with this ctime (milliseconds) hold less than its size says? */
  isDoubtful(ctimeMs: number): boolean;
  /** Everything doubtful has been removed: this boot's files are trusted from now on. */
  settle(): void;
  /** Something was stored. */
  changed(): void;
  close(): void;
}

export function createPowerLossGuard(dir: string, bootId = readBootId(), bootMs = Date.now() - uptime() * 1000): PowerLossGuard {
  const path = join(dir, "alive");
  const doubtFromMs = lastSignOfOtherBoot(path, bootId) - DOUBT_MS;
  let hasChanged = false;
  const show = () => {
    if (!hasChanged) return;
    hasChanged = false;
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // Not settled yet, or the disk refuses: an older sign only makes more files doubtful.
    }
  };
  const timer = setInterval(show, SIGN_INTERVAL_MS).unref();
  return {
    isDoubtful: (ctimeMs) => ctimeMs >= doubtFromMs && ctimeMs < bootMs,
    settle() {
      writeFileSync(path, bootId);
    },
    changed() {
      hasChanged = true;
    },
    close() {
      clearInterval(timer);
      show();
    },
  };
}

/** Milliseconds; NaN, which makes nothing doubtful, when the folder is new or of this boot. */
function lastSignOfOtherBoot(path: string, bootId: string): number {
  try {
    return readFileSync(path, "utf8") === bootId ? Number.NaN : statSync(path).mtimeMs;
  } catch {
    return Number.NaN;
  }
}

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}
