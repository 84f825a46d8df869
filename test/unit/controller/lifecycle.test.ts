import { expect, test } from "vitest";
import { lifecycleRules, parseLifecycle, UNEXPIRING_BYTES } from "#controller/lifecycle.ts";
import { encodeMark, type VolumeMark } from "#controller/mark.ts";

test("`parseLifecycle` reads days and refuses everything else by name", () => {
  expect(parseLifecycle("expire=30d, noncurrent=14d ,abort-uploads=7d")).toEqual({ expire: 30, noncurrent: 14, "abort-uploads": 7 });
  const wrong: Readonly<Record<string, RegExp>> = {
    "": /known: expire, noncurrent, abort-uploads/,
    "expire=30": /"expire=30"/,
    "expire=1h": /"expire=1h"/,
    "Expire=1d": /"Expire=1d"/,
    "toString=1d": /toString/,
    "expire=0d": /1 to 36500/,
    "expire=40000d": /1 to 36500/,
    "expire=1d,expire=2d": /expire twice/,
    "expire=1d,": /""/,
  };
  for (const [value, message] of Object.entries(wrong)) {
    expect(() => parseLifecycle(value), value).toThrow(expect.objectContaining({ message: expect.stringMatching(message) }));
  }
});

test("`lifecycleRules` expire every file but those of the mark's size", () => {
  const rules = lifecycleRules({ expire: 30, noncurrent: 14, "abort-uploads": 7 });
  const mark = encodeMark({ parameters: { lifecycle: { expire: 30 } } } as VolumeMark);
  const expires = (bytes: number) =>
    rules.some(({ expireDays, sizeOver = -1, sizeUnder = Infinity }) => expireDays === 30 && bytes > sizeOver && bytes < sizeUnder);
  expect(expires(mark.length)).toBe(false);
  for (const bytes of [0, 1, UNEXPIRING_BYTES - 1, UNEXPIRING_BYTES + 1, 5e12]) expect(expires(bytes), String(bytes)).toBe(true);
  // A rule without a size would take the mark.
  for (const { expireDays, sizeOver, sizeUnder } of rules)
    if (expireDays !== undefined) expect(sizeOver ?? sizeUnder).toBe(UNEXPIRING_BYTES);
  expect(rules.map(({ id }) => id.startsWith("bucketmount-"))).not.toContain(false);
  expect(lifecycleRules({ "abort-uploads": 7 })).toEqual([{ id: "bucketmount-abort-uploads", abortUploadsDays: 7 }]);
});
