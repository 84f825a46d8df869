import fc from "fast-check";
import { expect, test } from "vitest";
import { bucketNameFor, isBucketName, isBucketPrefix } from "#controller/bucket-name.ts";

/** S3's rules for general-purpose buckets, written down a second time and apart from the code. */
function breaksRule(name: string): string | undefined {
  if (name.length < 3 || name.length > 63) return "length";
  if (/[^a-z0-9.-]/.test(name)) return "characters";
  if (!/^[a-z0-9]/.test(name) || !/[a-z0-9]$/.test(name)) return "ends";
  if (name.includes("..") || /^\d+\.\d+\.\d+\.\d+$/.test(name)) return "dots";
  if (["xn--", "sthree-", "amzn-s3-demo-"].some((start) => name.startsWith(start))) return "reserved start";
  if (["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].some((end) => name.endsWith(end))) return "reserved end";
  return undefined;
}

/** What orchestrators send, and what they might. */
const names = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 128 }),
  fc.string({ unit: fc.constantFrom("a", "b", "X", "Z", "0", "9", "-", ".", "_", " ", "é", "日"), minLength: 1, maxLength: 128 }),
  fc.uuid().map((uuid) => `pvc-${uuid}`),
  fc.constantFrom(
    "xn--a",
    "sthree-x",
    "amzn-s3-demo-x",
    "a-s3alias",
    "a--ol-s3",
    "---",
    "-",
    "A",
    "日本",
    "192.168.0.1",
    "a..b",
    "x".repeat(63),
    "x".repeat(64),
  ),
);
const prefixes = fc.constantFrom("", "a", "team-a-", "ci", "x".repeat(32), "0");

test("`bucketNameFor` always gives a name that S3 takes, and the same one again", () => {
  fc.assert(
    fc.property(names, prefixes, (name, prefix) => {
      const bucket = bucketNameFor(name, prefix);
      expect(breaksRule(bucket), bucket).toBeUndefined();
      expect(isBucketName(bucket)).toBe(true);
      expect(bucketNameFor(name, prefix)).toBe(bucket);
    }),
    { numRuns: 2000 },
  );
});

test("`bucketNameFor` gives different names to different volumes, also when they look alike", () => {
  fc.assert(
    fc.property(fc.uniqueArray(names, { minLength: 2, maxLength: 30 }), prefixes, (all, prefix) => {
      expect(new Set(all.map((name) => bucketNameFor(name, prefix))).size).toBe(all.length);
    }),
    { numRuns: 300 },
  );
  const alike = ["My Volume", "my volume", "my-volume", "my_volume", "MY-VOLUME", "my.volume", "my--volume"];
  expect(new Set(alike.map((name) => bucketNameFor(name))).size).toBe(alike.length);
});

test("`bucketNameFor` leaves a good name as it is and keeps the readable part of any other", () => {
  expect(bucketNameFor("pvc-0c2b6f6e-1111-2222-3333-444455556666")).toBe("pvc-0c2b6f6e-1111-2222-3333-444455556666");
  expect(bucketNameFor("cache", "team-a-")).toBe("team-a-cache");
  expect(bucketNameFor("Maven Cache (EU)")).toMatch(/^maven-cache-eu-[0-9a-v]{16}$/);
  expect(bucketNameFor("x".repeat(128), "team-a-")).toMatch(/^team-a-x{39}-[0-9a-v]{16}$/);
});

test("`isBucketPrefix` refuses what no bucket may begin with", () => {
  for (const prefix of ["a", "team-a-", "0x", "x".repeat(32)]) expect(isBucketPrefix(prefix), prefix).toBe(true);
  for (const prefix of ["", "-a", "A", "a.b", "a_b", "xn--", "xn-", "sthree-", "sthree", "amzn-s3-demo-", "x".repeat(33)]) {
    expect(isBucketPrefix(prefix), prefix).toBe(false);
  }
});
