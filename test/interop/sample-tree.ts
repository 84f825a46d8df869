/** A small tree with all that has to survive the way through a bucket, and what of it two file systems must agree on. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { listTree } from "../../scripts/demo/tree.ts";

/** Names that need care in a URL, in XML or in a shell. */
const NAMES = [
  "plain.txt",
  "with space",
  "plus+sign",
  "per%cent",
  "per%2Fcent",
  "ha#sh",
  "amp&ersand",
  "quote'\"s",
  "less<than>",
  "semi;colon=equal,comma",
  "tilde~at@dollar$",
  "brackets[](){}",
  "umläut-日本語",
  "back\\slash",
  "-dash",
  ".hidden",
];

const SIZES = [0, 1, 4095, 4096, 4097, 131_073, 9_000_001];
const MODES = [0o644, 0o600, 0o755, 0o400, 0o666, 0o4755];
/** Whole seconds: what every reader of these keys understands. */
const TIMES = [1, 1_000_000_000, 1_700_000_000, 2_000_000_000];

export function makeSampleTree(root: string): void {
  for (const folder of ["", "deep", "deep/er", "deep/er/still", "empty", "with space"]) mkdirSync(join(root, folder), { mode: 0o755 });
  for (const [index, name] of NAMES.entries()) file(join(root, "deep", name), { size: index, mode: 0o644, time: 1_700_000_000 });
  for (const [index, size] of SIZES.entries()) {
    file(join(root, `size-${size}`), { size, mode: MODES[index % MODES.length] ?? 0, time: TIMES[index % TIMES.length] ?? 0 });
  }
  file(join(root, "deep/er/still/owned"), { size: 10, mode: 0o640, time: 1_600_000_000, uid: 1234, gid: 4321 });
  for (const [name, target] of [
    ["relative", "../size-1"],
    ["absolute", "/etc/hostname"],
    ["dangling", "nowhere/at all"],
    ["folder", "er"],
  ] as const) {
    symlinkSync(target, join(root, "deep", `link-${name}`));
    lchownSync(join(root, "deep", `link-${name}`), 1234, 4321);
    lutimesSync(join(root, "deep", `link-${name}`), 1_500_000_000, 1_500_000_000);
  }
}

interface Sample {
  readonly size: number;
  readonly mode: number;
  readonly time: number;
  readonly uid?: number;
  readonly gid?: number;
}

function file(path: string, { size, mode, time, uid = 0, gid = 0 }: Sample): void {
  const block = createHash("sha512").update(path).digest();
  writeFileSync(path, Buffer.alloc(size, block), { mode: 0o600 });
  chownSync(path, uid, gid);
  // After the owner: a change of owner takes set-user-id away.
  chmodSync(path, mode);
  utimesSync(path, time, time);
}

/** One line an entry: kind, mode, owner, size, mtime in seconds, and the content's digest or the link's target. */
export async function describeTree(root: string): Promise<string[]> {
  const entries = await listTree(root);
  return entries
    .map(({ path, stats }) => {
      const owner = `${stats.mode.toString(8)} ${stats.uid}:${stats.gid}`;
      if (stats.isDirectory()) return `${path}/ ${owner}`;
      const content = stats.isSymbolicLink()
        ? `-> ${readlinkSync(join(root, path))}`
        : createHash("sha256")
            .update(readFileSync(join(root, path)))
            .digest("hex");
      return `${path} ${owner} ${stats.size} ${Math.floor(stats.mtimeMs / 1000)} ${content}`;
    })
    .toSorted();
}
