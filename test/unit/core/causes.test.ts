import { expect, test } from "vitest";
import { CAUSES, causeOf, explain, isCause } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";

test("`CAUSES` gives each cause a reason of its own in CamelCase, and a fix of one or two sentences", () => {
  const rows = Object.entries(CAUSES);
  expect(new Set(rows.map(([, { reason }]) => reason)).size).toBe(rows.length);
  for (const [cause, { reason, fix }] of rows) {
    // Kubernetes refuses an Event whose reason is longer than 128 characters or its note longer than 1 kB.
    expect(reason, cause).toMatch(/^[A-Z][A-Za-z0-9]{2,127}$/);
    expect(fix, cause).toMatch(/^[A-Z].*\.$/);
    expect(fix.match(/[.:?](?= [A-Z])|\.$/g)?.length, cause).toBeLessThanOrEqual(2);
    expect(fix.length, cause).toBeLessThan(400);
  }
});

test("`causeOf` believes what the maker of the error wrote, and nothing that is no cause", () => {
  const made = (cause: string) => new DriverError("denied", "no", { context: { cause } });
  expect(causeOf(made("access_denied"))).toBe("access_denied");
  expect(causeOf(made("toString"))).toBeUndefined();
  expect(causeOf(new DriverError("denied", "no"))).toBeUndefined();
  expect(causeOf("thrown")).toBeUndefined();
});

test("`causeOf` takes ENOSPC and EDQUOT of a local disk for a full cache disk", () => {
  expect(causeOf(Object.assign(new Error("write"), { code: "ENOSPC" }))).toBe("disk_full");
  expect(causeOf(DriverError.from(Object.assign(new Error("write"), { code: "EDQUOT" })))).toBe("disk_full");
  expect(causeOf(Object.assign(new Error("read"), { code: "EIO" }))).toBeUndefined();
  // A file that does not fit beside what is in use is a matter of cache_size, not of the disk.
  expect(causeOf(new DriverError("no_space", "does not fit"))).toBeUndefined();
});

test("`explain` puts the fix after the message, as sentences", () => {
  expect(explain("no such bucket", "no_bucket")).toBe(`no such bucket. ${CAUSES.no_bucket.fix}`);
  expect(explain("no such bucket.", "no_bucket")).toBe(`no such bucket. ${CAUSES.no_bucket.fix}`);
  expect(explain("volume_id is missing", undefined)).toBe("volume_id is missing");
});

test("`isCause` knows causes from other words", () => {
  expect([isCause("disk_full"), isCause("constructor"), isCause(undefined)]).toEqual([true, false, false]);
});
