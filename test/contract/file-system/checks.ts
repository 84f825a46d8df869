/** What a check of the `FileSystem` contract is. */
import type { FileSystem } from "#fuse/vfs/filesystem.ts";
import type { KernelUser } from "../../support/kernel-user.ts";

/** A file system under test. */
export interface FileSystemUnderTest {
  readonly fs: FileSystem;
  readonly user: KernelUser;
  /** What the file system believes without looking is no longer believed after this. */
  readonly letTimePass: () => void;
  readonly stop: () => Promise<void>;
}

export type Checks = Readonly<Record<string, (under: FileSystemUnderTest) => Promise<void>>>;
