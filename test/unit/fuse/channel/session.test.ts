import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { agreementOf, encodeInit, initFlagNames, negotiate } from "../../../../src/fuse/channel/session.ts";
import { FUSE_INIT_FLAGS, hasInitFlag, type InitFlagName, initFlagWords } from "../../../../src/fuse/wire/flags.ts";

const ALL = Object.keys(FUSE_INIT_FLAGS) as InitFlagName[];

function offer(minor: number, names: readonly InitFlagName[] = ALL.filter((name) => FUSE_INIT_FLAGS[name].since <= minor)) {
  return { major: 7, minor, max_readahead: 131_072, ...initFlagWords(names) };
}

const AUTO = { passthrough: "auto" } as const;

describe("negotiate", () => {
  test("asks a new kernel for what makes it fast and can be resumed", () => {
    const answer = negotiate(offer(45), AUTO);
    expect(answer).toMatchObject({
      major: 7,
      minor: 45,
      max_readahead: 131_072,
      max_write: 1 << 20,
      max_pages: 256,
      max_stack_depth: 1,
      time_gran: 1,
    });
    const wanted: InitFlagName[] = ["ASYNC_READ", "ATOMIC_O_TRUNC", "DO_READDIRPLUS", "READDIRPLUS_AUTO", "PARALLEL_DIROPS", "MAX_PAGES"];
    for (const name of [...wanted, "HANDLE_KILLPRIV_V2", "SETXATTR_EXT", "PASSTHROUGH", "HAS_RESEND"] as const)
      expect(hasInitFlag(answer, name), name).toBe(true);
  });

  test("asks for no locks, write-back or exports, and not for ACLs by itself", () => {
    const refused: InitFlagName[] = [
      "POSIX_LOCKS",
      "FLOCK_LOCKS",
      "WRITEBACK_CACHE",
      "EXPORT_SUPPORT",
      "POSIX_ACL",
      "EXPLICIT_INVAL_DATA",
      "DONT_MASK",
    ];
    for (const name of refused) expect(hasInitFlag(negotiate(offer(45), AUTO), name), name).toBe(false);
  });

  test("asks for ACLs where the mount wants them, and refuses a kernel that has none", () => {
    const answer = negotiate(offer(45), { ...AUTO, acl: true });
    expect([hasInitFlag(answer, "POSIX_ACL"), hasInitFlag(answer, "DONT_MASK")]).toEqual([true, true]);
    const without = offer(
      45,
      ALL.filter((name) => name !== "POSIX_ACL"),
    );
    expect(() => negotiate(without, { ...AUTO, acl: true })).toThrow("mount without the option acl");
  });

  test("asks for nothing that was not offered, and answers no higher version", () => {
    fc.assert(
      fc.property(fc.integer({ min: 32, max: 60 }), fc.subarray(ALL), fc.nat(1 << 24), (minor, names, readAhead) => {
        const offered = { ...offer(minor, names), max_readahead: readAhead };
        const answer = negotiate(offered, AUTO);
        const given = new Set(initFlagNames(offered));
        for (const name of initFlagNames(answer)) expect(given.has(name), name).toBe(true);
        expect(answer.minor).toBeLessThanOrEqual(Math.min(45, minor));
        expect(answer.max_readahead).toBeLessThanOrEqual(readAhead);
      }),
    );
  });

  test("leaves passthrough out where the mount does not want it", () => {
    const answer = negotiate(offer(45), { passthrough: "no" });
    expect([hasInitFlag(answer, "PASSTHROUGH"), answer.max_stack_depth]).toEqual([false, 0]);
  });

  test("takes Linux 5.10 (7.32), whose flags have one word", () => {
    const answer = negotiate(offer(32), AUTO);
    expect([answer.minor, answer.flags2]).toEqual([32, 0]);
    expect(agreementOf(encodeInit(answer))).toEqual({
      features: { passthrough: false, resend: false, maxWrite: 1 << 20, minor: 32 },
      setxattrExt: false,
    });
  });

  test("refuses older kernels and other protocols, saying what is needed", () => {
    for (const bad of [offer(31), { ...offer(45), major: 8 }, { ...offer(45), major: 6 }]) {
      expect(() => negotiate(bad, AUTO)).toThrow(/7\.32 \(Linux 5\.10\) or newer is needed/);
    }
  });
});

describe("agreementOf", () => {
  test("reads back what was agreed", () => {
    const { features, setxattrExt } = agreementOf(encodeInit(negotiate(offer(45), AUTO)));
    expect([features, setxattrExt]).toEqual([{ passthrough: true, resend: true, maxWrite: 1 << 20, minor: 45 }, true]);
  });

  test("refuses bytes that are no init reply", () => {
    expect(() => agreementOf(new Uint8Array(63))).toThrow(/63 bytes, 64 expected/);
    expect(() => agreementOf(new Uint8Array(64))).toThrow(/protocol 0/);
  });
});
