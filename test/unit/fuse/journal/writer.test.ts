import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isFault } from "#core/errors.ts";
import { JournalWriter, type WriterSystem } from "#fuse/journal/writer.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "journal-writer-"));
  path = join(dir, "journal");
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

const noSpace = () => Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

/** A disk with `room` bytes left. */
function fullDisk(room: number): WriterSystem & { room: number; truncateFails: boolean; datasyncs: number } {
  return {
    room,
    truncateFails: false,
    datasyncs: 0,
    write(fd, bytes, offset) {
      if (this.room === 0) throw noSpace();
      const count = Math.min(this.room, bytes.byteLength - offset);
      this.room -= count;
      return fs.writeSync(fd, bytes, offset, count, null);
    },
    truncate(fd, size) {
      if (this.truncateFails) throw Object.assign(new Error("EIO"), { code: "EIO" });
      this.room += fs.fstatSync(fd).size - size;
      fs.ftruncateSync(fd, size);
    },
    async datasync() {
      this.datasyncs += 1;
      await new Promise((resume) => setImmediate(resume));
    },
  };
}

const faultOf = (work: () => void): unknown => {
  try {
    work();
  } catch (thrown) {
    return isFault(thrown, "no_space") ? "no_space" : thrown;
  }
  return undefined;
};

describe("JournalWriter", () => {
  it("`append` takes a record back when the disk is full in its middle, and works again when there is room", async () => {
    const disk = fullDisk(13);
    const writer = new JournalWriter(fs.openSync(path, "a+"), 0, disk);
    writer.append(Buffer.from("12345678"));
    expect(faultOf(() => writer.append(Buffer.from("abcdefgh")))).toBe("no_space");
    expect(fs.readFileSync(path, "utf8")).toBe("12345678");
    disk.room = 100;
    writer.append(Buffer.from("ABCDEFGH"));
    expect(fs.readFileSync(path, "utf8")).toBe("12345678ABCDEFGH");
    expect(writer.size).toBe(16);
    await writer.close();
  });

  it("`append` repairs the end first when the failed record could not be taken back", async () => {
    const disk = fullDisk(13);
    disk.truncateFails = true;
    const writer = new JournalWriter(fs.openSync(path, "a+"), 0, disk);
    writer.append(Buffer.from("12345678"));
    expect(faultOf(() => writer.append(Buffer.from("abcdefgh")))).toBe("no_space");
    expect(fs.readFileSync(path, "utf8")).toBe("12345678abcde");
    disk.truncateFails = false;
    disk.room = 100;
    writer.append(Buffer.from("ABCDEFGH"));
    expect(fs.readFileSync(path, "utf8")).toBe("12345678ABCDEFGH");
    await writer.close();
  });

  it("`sync` shares one fdatasync among calls that wait, and makes none when nothing is new", async () => {
    const disk = fullDisk(1000);
    const writer = new JournalWriter(fs.openSync(path, "a+"), 0, disk);
    writer.append(Buffer.from("1"));
    await Promise.all([writer.sync(), writer.sync(), writer.sync()]);
    expect(disk.datasyncs).toBe(1);
    await writer.sync();
    expect(disk.datasyncs).toBe(1);
    writer.append(Buffer.from("2"));
    await writer.sync();
    expect(disk.datasyncs).toBe(2);
    await writer.close();
  });

  it("`sync` waits for a section of `withoutSyncs`", async () => {
    const disk = fullDisk(1000);
    const writer = new JournalWriter(fs.openSync(path, "a+"), 0, disk);
    const order: string[] = [];
    let end = () => {};
    const section = writer.withoutSyncs(async () => {
      await new Promise<void>((resume) => {
        end = resume;
      });
      order.push("section");
    });
    await Promise.resolve();
    writer.append(Buffer.from("1"));
    const sync = writer.sync().then(() => order.push("sync"));
    await new Promise((resume) => setImmediate(resume));
    end();
    await Promise.all([section, sync]);
    expect(order).toEqual(["section", "sync"]);
    await writer.close();
  });

  it("`append` and `sync` fail when the writer is closed", async () => {
    const writer = new JournalWriter(fs.openSync(path, "a+"), 0);
    await writer.close();
    expect(() => writer.append(Buffer.from("1"))).toThrow(/closed/);
    await expect(writer.sync()).rejects.toThrow(/closed/);
  });
});
