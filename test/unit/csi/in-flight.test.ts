import { expect, test } from "vitest";
import { createInFlight } from "#csi/in-flight.ts";

test("`run` refuses a second operation for the same volume with `conflict` and lets other volumes through", async () => {
  const inFlight = createInFlight();
  const { promise, resolve } = Promise.withResolvers<string>();
  const first = inFlight.run("a", () => promise);
  await expect(inFlight.run("a", async () => "second")).rejects.toMatchObject({ fault: "conflict" });
  await expect(inFlight.run("b", async () => "other")).resolves.toBe("other");
  resolve("first");
  await expect(first).resolves.toBe("first");
});

test("`run` takes a volume again after its operation ended, well or not", async () => {
  const inFlight = createInFlight();
  await expect(inFlight.run("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(inFlight.run("a", async () => 1)).resolves.toBe(1);
  await expect(inFlight.run("a", async () => 2)).resolves.toBe(2);
});
