import { createDiskContentCache } from "#fuse/cache/disk-cache.ts";
import { contentCacheContract } from "./content-cache.contract.ts";

contentCacheContract("disk", (dir, limitBytes) => createDiskContentCache({ dir, limitBytes }));
