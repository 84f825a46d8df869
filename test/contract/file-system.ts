/**
 * What every `FileSystem` of this project promises to processes, as POSIX and Linux's man pages have it: one map from names to checks,
 * run on each file system that a factory makes. A check gets a fresh, empty file system and the users of it.
 */
import { describe, it } from "vitest";
import { attributes } from "./file-system/attributes.ts";
import type { Checks, FileSystemUnderTest } from "./file-system/checks.ts";
import { content } from "./file-system/content.ts";
import { directories } from "./file-system/directories.ts";
import { hardLinks } from "./file-system/hard-links.ts";
import { openFiles } from "./file-system/open-files.ts";
import { tree } from "./file-system/tree.ts";

export type FileSystemFactory = () => Promise<FileSystemUnderTest>;

const GROUPS: Readonly<Record<string, Checks>> = {
  content,
  "open files": openFiles,
  tree,
  "hard links": hardLinks,
  directories,
  attributes,
};

/** Runs every check on `factory`'s file systems. */
export function fileSystemContract(name: string, factory: FileSystemFactory): void {
  describe(`FileSystem contract: ${name}`, () => {
    for (const [group, checks] of Object.entries(GROUPS)) {
      describe(group, () => {
        for (const [title, check] of Object.entries(checks)) {
          it(title, async () => {
            const under = await factory();
            try {
              await check(under);
            } finally {
              await under.stop();
            }
          });
        }
      });
    }
  });
}
