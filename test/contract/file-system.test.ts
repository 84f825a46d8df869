import { VfsWorld, type WorldOptions } from "../support/vfs-world.ts";
import { type FileSystemFactory, fileSystemContract } from "./file-system.ts";

/** Uploads fall between any two steps. */
const AT_ONCE = { quietMs: 0, latestMs: 0, retryMs: 10 };

/** Longer than any TTL that is derived from the metadata TTL. */
const LONG_MS = 3_600_000;

function worlds(options: WorldOptions): FileSystemFactory {
  return async () => {
    const world = await VfsWorld.open(options);
    return {
      fs: world.fs,
      user: world.user,
      letTimePass: () => world.clock.advance(LONG_MS),
      stop: () => world.close(),
    };
  };
}

fileSystemContract("a bucket, reads and writes through the engine", worlds({}));
fileSystemContract("a bucket, passthrough", worlds({ passthrough: true }));
fileSystemContract("a bucket, durability=local", worlds({ options: { durability: "local" } }));
fileSystemContract(
  "a bucket, durability=local, passthrough, sent at once",
  worlds({ passthrough: true, options: { durability: "local", uploadDelays: AT_ONCE } }),
);
fileSystemContract(
  "a bucket in which every change of more than a few bytes is a copy of the parts that stayed",
  worlds({ upload: { copiesParts: true, partSizeBytes: 8, multipartFromBytes: 16 }, options: { fillAtOpenBytes: 4, trackFromBytes: 16 } }),
);
fileSystemContract("a prefix of a bucket, nothing cached", worlds({ options: { prefix: "team/a/", metadataTtlMs: 0 } }));
