import { describe, expect, test } from "vitest";
import * as flags from "../../../../src/fuse/wire/flags.ts";
import { readFuseHeader } from "../../../support/fuse-header.ts";

const header = readFuseHeader();

/** Words other than INIT's, by their prefix in the header. */
const WORDS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  FATTR_: flags.FATTR,
  FOPEN_: flags.FOPEN,
  FUSE_WRITE_: flags.FUSE_WRITE,
  FUSE_RELEASE_: flags.FUSE_RELEASE,
  FUSE_: {
    OPEN_KILL_SUIDGID: flags.FUSE_OPEN_KILL_SUIDGID,
    GETATTR_FH: flags.FUSE_GETATTR_FH,
    FSYNC_FDATASYNC: flags.FUSE_FSYNC_FDATASYNC,
    SETXATTR_ACL_KILL_SGID: flags.FUSE_SETXATTR_ACL_KILL_SGID,
    EXPIRE_ONLY: flags.FUSE_EXPIRE_ONLY,
  },
};

describe.skipIf(header === undefined)("flags against <linux/fuse.h>", () => {
  test("every INIT flag up to the header's version has its bit", () => {
    const known = Object.entries(flags.FUSE_INIT_FLAGS).filter(([, { since }]) => since <= header!.minor);
    for (const [name, { bit }] of known) {
      const there = header!.bits.get(`FUSE_${name}`);
      if (there === undefined) console.warn(`FUSE_${name} is not in the installed header`);
      else expect(there, name).toBe(bit);
    }
    expect(known.length).toBeGreaterThan(30);
  });

  test("every other flag that the header has, has its bit", () => {
    let compared = 0;
    for (const [prefix, words] of Object.entries(WORDS)) {
      for (const [name, value] of Object.entries(words)) {
        const bit = header!.bits.get(prefix + name);
        if (bit === undefined) continue; // newer than the header
        expect(1 << bit, prefix + name).toBe(value);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(20);
  });
});

describe("INIT flags", () => {
  test("`hasInitFlag` finds what `initFlagWords` set, in either word, and nothing else", () => {
    for (const name of Object.keys(flags.FUSE_INIT_FLAGS) as flags.InitFlagName[]) {
      const words = flags.initFlagWords([name, "INIT_EXT"]);
      expect(words.flags).toBeGreaterThanOrEqual(0);
      const found = (Object.keys(flags.FUSE_INIT_FLAGS) as flags.InitFlagName[]).filter((other) => flags.hasInitFlag(words, other));
      expect(new Set(found)).toEqual(new Set([name, "INIT_EXT"]));
    }
  });

  test("`hasInitFlag` ignores the second word without INIT_EXT", () => {
    expect(flags.hasInitFlag(flags.initFlagWords(["PASSTHROUGH"]), "PASSTHROUGH")).toBe(false);
  });
});
