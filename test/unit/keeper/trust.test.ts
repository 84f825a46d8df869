import { expect, test } from "vitest";
import { isTrusted } from "#keeper/trust.ts";

test("`isTrusted` knows root and this user, and nobody else", () => {
  expect([0, process.geteuid?.() ?? 0].map(isTrusted)).toEqual([true, true]);
  expect(isTrusted(4_294_967_294)).toBe(false);
});
