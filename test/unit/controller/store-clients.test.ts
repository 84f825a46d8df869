import { expect, test } from "vitest";
import { createStoreClients } from "#controller/store-clients.ts";
import { MemoryBucketAdmin } from "../../support/memory-bucket-admin.ts";

const DEFAULTS = { endpoint: "http://default" };

test("`use` shares one client for the default store and closes that of any other, also after a failure", async () => {
  const made: MemoryBucketAdmin[] = [];
  const clients = createStoreClients(DEFAULTS, () => {
    const admin = new MemoryBucketAdmin();
    made.push(admin);
    return admin;
  });
  const first = await clients.use({ ...DEFAULTS }, async (admin) => admin);
  expect(await clients.use(DEFAULTS, async (admin) => admin)).toBe(first);
  expect(clients.shared()).toBe(first);
  await expect(clients.use({ endpoint: "http://other" }, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(made.map(({ closed }) => closed)).toEqual([false, true]);
  await clients.close();
  expect(made.map(({ closed }) => closed)).toEqual([true, true]);
});
