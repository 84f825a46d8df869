import fc from "fast-check";
import { expect, test } from "vitest";
import { isVolumePrefix, prefixFor, prefixOfTemplate } from "#controller/prefix-name.ts";

/** The rules, written down a second time and apart from the code. */
function breaksRule(prefix: string, room: number): string | undefined {
  if (Buffer.byteLength(prefix) > room) return "length";
  if (!prefix.endsWith("/")) return "end";
  if (prefix.startsWith("archived/")) return "archive";
  const parts = prefix.slice(0, -1).split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".." || part === ".bucketmount")) return "parts";
  return /[^A-Za-z0-9._=/-]/.test(prefix) ? "characters" : undefined;
}

const names = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 128 }),
  fc.string({ unit: fc.constantFrom("a", "Z", "0", "-", ".", "_", " ", "/", "é"), minLength: 1, maxLength: 128 }),
  fc.uuid().map((uuid) => `pvc-${uuid}`),
  fc.constantFrom(".", "..", "archived", ".bucketmount", "-", "日本", "x".repeat(128), "a/b"),
);
const rooms = fc.constantFrom(24, 40, 60, 120);

test("`prefixFor` always gives a prefix that a volume may have, and the same one again", () => {
  fc.assert(
    fc.property(names, rooms, (name, room) => {
      const prefix = prefixFor(name, room);
      expect(breaksRule(prefix, room), prefix).toBeUndefined();
      expect(isVolumePrefix(prefix)).toBe(true);
      expect(prefixFor(name, room)).toBe(prefix);
    }),
    { numRuns: 2000 },
  );
});

test("`prefixFor` gives different prefixes to different volumes, and none inside another", () => {
  fc.assert(
    fc.property(fc.uniqueArray(names, { minLength: 2, maxLength: 30 }), rooms, (all, room) => {
      const prefixes = all.map((name) => prefixFor(name, room));
      expect(new Set(prefixes).size).toBe(all.length);
      for (const one of prefixes) expect(prefixes.filter((other) => other.startsWith(one))).toEqual([one]);
    }),
    { numRuns: 300 },
  );
});

test("`prefixFor` leaves a good name as it is: `pvc-1/` is no part of `pvc-10/`", () => {
  expect([prefixFor("pvc-1", 60), prefixFor("pvc-10", 60)]).toEqual(["pvc-1/", "pvc-10/"]);
  expect(prefixFor("Maven Cache", 60)).toMatch(/^maven-cache-[0-9a-v]{16}\/$/);
});

test("`prefixOfTemplate` keeps folders, and cuts what the id has no room for", () => {
  expect(prefixOfTemplate("ci/m2", 60)).toBe("ci/m2/");
  expect(prefixOfTemplate("ci/m2/", 60)).toBe("ci/m2/");
  const long = `${"n".repeat(63)}/${"c".repeat(200)}`;
  const cut = prefixOfTemplate(long, 90);
  expect(cut).toMatch(/^n{63}\/c{8}-[0-9a-v]{16}\/$/);
  expect(prefixOfTemplate(`${long}x`, 90)).not.toBe(cut);
  // A cut never ends in a part that means something else.
  for (let room = 24; room < 60; room++)
    expect(isVolumePrefix(prefixOfTemplate("a/..b/.c/-d/archived/..e/f.g.h".repeat(3), room))).toBe(true);
});

test("`prefixOfTemplate` refuses what is the driver's own, and what would leave its folder", () => {
  for (const name of ["archived/x", ".bucketmount/x", "a/.bucketmount", "..", "a/../b", "a//b", "/a", ""]) {
    expect(() => prefixOfTemplate(name, 60), name).toThrow(
      expect.objectContaining({ fault: "bad_argument", message: expect.stringContaining("nameTemplate") }),
    );
  }
});

test("`prefixFor` says where an endpoint belongs that leaves no room", () => {
  expect(() => prefixFor("x".repeat(50), 23)).toThrow(
    expect.objectContaining({ fault: "bad_argument", message: expect.stringContaining("secret") }),
  );
});
