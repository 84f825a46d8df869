import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContentWatch } from "#fuse/write/content-watch.ts";

let dir: string;
let path: string;
let fd: number;
let watch: ContentWatch;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "content-watch-"));
  path = join(dir, "file");
  fd = fs.openSync(path, "w+");
  fs.writeSync(fd, "content");
  watch = new ContentWatch(fd);
});
afterEach(() => {
  fs.closeSync(fd);
  fs.rmSync(dir, { recursive: true });
});

/** The file's own mtime, whatever is shown. */
const fileMtimeNs = () => fs.fstatSync(fd, { bigint: true }).mtimeNs;

describe("ContentWatch", () => {
  it("`holds` is true until somebody writes, and false after, also for a write of the same size", () => {
    const moment = watch.moment();
    expect(watch.holds(moment)).toBe(true);
    fs.writeFileSync(path, "CONTENT", { flag: "r+" });
    expect(watch.holds(moment)).toBe(false);
  });

  it("`holds` is false when a write left the mtime that stood before the moment, as in one tick of the file's clock", () => {
    fs.futimesSync(fd, 1_700_000_000.5, 1_700_000_000.5);
    const tick = fileMtimeNs();
    const moment = watch.moment();
    fs.writeSync(fd, "CONTENT", 0);
    fs.futimesSync(fd, 1_700_000_000.5, 1_700_000_000.5);
    expect(fileMtimeNs()).toBe(tick);
    expect(watch.holds(moment)).toBe(false);
  });

  it("`stat` shows the same times before and after a moment", () => {
    const before = watch.stat();
    watch.moment();
    watch.moment();
    expect(watch.stat()).toEqual(before);
    expect(watch.stat().mtime.sec).toBe(Number(fs.fstatSync(fd, { bigint: true }).mtimeNs / 1_000_000_000n));
  });

  it("`stat` shows exactly the times that `setTimes` was given, and those of a later write", () => {
    for (const mtime of [
      { sec: 1_762_345_678, nsec: 123_456_789 },
      { sec: 1, nsec: 1 },
      { sec: -7, nsec: 999_999_999 },
    ]) {
      watch.setTimes({ sec: 5, nsec: 0 }, mtime);
      expect(watch.stat().mtime).toEqual(mtime);
    }
    const begin = Math.floor(Date.now() / 1000) - 1;
    fs.writeSync(fd, "x");
    expect(watch.stat().mtime.sec).toBeGreaterThanOrEqual(begin);
  });

  it("`setTimes` puts the mtime on the file itself, to a microsecond, for whoever opens it next", () => {
    watch.setTimes({ sec: 5, nsec: 0 }, { sec: 1_762_345_678, nsec: 123_456_789 });
    expect(Math.abs(Number(fileMtimeNs() - 1_762_345_678_123_456_789n))).toBeLessThan(1000);
  });

  it("`setTimes` is no change for a moment that held, and hides none that was there", () => {
    const unchanged = watch.moment();
    watch.setTimes({ sec: 5, nsec: 0 }, { sec: 6, nsec: 7 });
    expect(watch.holds(unchanged)).toBe(true);
    fs.writeSync(fd, "X", 0);
    watch.setTimes({ sec: 5, nsec: 0 }, { sec: 6, nsec: 7 });
    expect(watch.holds(unchanged)).toBe(false);
  });

  it("`unnoticed` keeps moments and times, and hides no change that was there", () => {
    const before = watch.stat();
    const unchanged = watch.moment();
    watch.unnoticed(() => fs.writeSync(fd, "CON", 0));
    expect(watch.holds(unchanged)).toBe(true);
    expect(watch.stat()).toMatchObject({ size: 7, mtime: before.mtime, ctime: before.ctime });
    fs.writeSync(fd, "X", 0);
    watch.unnoticed(() => fs.writeSync(fd, "CON", 0));
    expect(watch.holds(unchanged)).toBe(false);
  });

  it("`moment` and `stat` see what another descriptor of the file does", () => {
    const other = fs.openSync(path, "r+");
    const moment = watch.moment();
    fs.ftruncateSync(other, 3);
    expect(watch.holds(moment)).toBe(false);
    expect(watch.stat().size).toBe(3);
    fs.closeSync(other);
  });
});
