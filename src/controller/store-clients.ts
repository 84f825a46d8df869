/** The S3 clients of the controller: one that stays, for the driver's own store; one a request for any other. */
import type { BucketAdmin, BucketAdminConfig } from "#s3/bucket-admin.ts";
import { sameStore } from "./store.ts";

export interface StoreClients {
  /** The driver's default store. Made when first asked for. */
  shared(): BucketAdmin;
  /** Runs `operation` with a client for this store, and closes the client afterwards unless it is the shared one. */
  use<T>(store: BucketAdminConfig, operation: (admin: BucketAdmin) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function createStoreClients(defaults: BucketAdminConfig, createAdmin: (config: BucketAdminConfig) => BucketAdmin): StoreClients {
  let kept: BucketAdmin | undefined;
  const shared = () => {
    kept ??= createAdmin(defaults);
    return kept;
  };
  return {
    shared,
    async use(store, operation) {
      if (sameStore(store, defaults)) return operation(shared());
      const admin = createAdmin(store);
      try {
        return await operation(admin);
      } finally {
        await admin.close();
      }
    },
    async close() {
      await kept?.close();
    },
  };
}
