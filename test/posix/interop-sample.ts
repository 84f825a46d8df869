/** One small tree with one entry for each attribute that file systems on buckets may agree on, and what of it somebody shows. */
import { spawnSync } from "node:child_process";
import { chmodSync, lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const ATTRIBUTES = [
  "name",
  "size and content",
  "mode",
  "owner",
  "mtime",
  "nanoseconds",
  "symlink",
  "directory's mode and owner",
  "empty directory",
  "xattr",
] as const;
export type Attribute = (typeof ATTRIBUTES)[number];
/** "yes", or what is there instead. */
export type Observed = Readonly<Record<Attribute, string>>;

/** Names that need care in a URL, in XML, in a header or in a shell. */
export const NAMES = ["with space", "plus+sign", "per%cent", "per%2Fcent", "ha#sh", "amp&<>;=,'", "umläut-日本語", "tilde~at@", ".hidden"];
export const CONTENT = Buffer.from("content ".repeat(500));
export const MODE = 0o640;
export const OWNER = { uid: 1234, gid: 4321 };
export const SECONDS = 1_600_000_000;
/** Trailing zeros: rclone leaves them out. */
export const NANOSECONDS = 500_000_000;
export const TARGET = "sub/../ünten";
export const XATTR = { name: "user.label", value: "of a peer" };
export const DIRECTORY_MODE = 0o750;

/**
 * Makes the tree as far as the file system takes it: a peer refuses what it cannot keep. The times last, since some file systems move
 * them with every other change.
 */
export function makeSample(root: string): void {
  mkdirSync(join(root, "names"));
  for (const name of NAMES) writeFileSync(join(root, "names", name), name);
  for (const name of ["content", "mode", "owner", "mtime", "precise", "xattr"]) writeFileSync(join(root, name), CONTENT);
  mkdirSync(join(root, "directory"));
  writeFileSync(join(root, "directory", "inside"), "");
  mkdirSync(join(root, "empty"));
  for (const step of [
    () => chmodSync(join(root, "mode"), MODE),
    () => lchownSync(join(root, "owner"), OWNER.uid, OWNER.gid),
    () => lchownSync(join(root, "directory"), OWNER.uid, OWNER.gid),
    () => chmodSync(join(root, "directory"), DIRECTORY_MODE),
    () => symlinkSync(TARGET, join(root, "link")),
    () => setXattr(join(root, "xattr")),
    () => touch(join(root, "mtime"), 0),
    () => touch(join(root, "precise"), NANOSECONDS),
  ]) {
    try {
      step();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    }
  }
}

/** Node cannot set either exactly. */
function python(script: string, ...args: readonly string[]): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync("python3", ["-c", `import os, sys\n${script}`, ...args], { encoding: "utf8" });
  return { code: status, said: stdout + stderr };
}

function setXattr(path: string): void {
  python("os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())", path, XATTR.name, XATTR.value);
}

function touch(path: string, nanoseconds: number): void {
  python("t = int(sys.argv[2]); os.utime(sys.argv[1], ns=(t, t))", path, String(BigInt(SECONDS) * 1_000_000_000n + BigInt(nanoseconds)));
}

export function observe(root: string): Observed {
  const seen = (look: () => string | true, name = "") => {
    try {
      const found = look();
      return found === true ? "yes" : found;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT"
        ? otherwise(root, name)
        : String((error as NodeJS.ErrnoException).code ?? error);
    }
  };
  const stat = (name: string) => lstatSync(join(root, name), { bigint: true });
  const same = (found: string, wanted: string) => (found === wanted ? true : found);
  const owned = (name: string) => `${stat(name).uid}:${stat(name).gid}`;
  const mode = (name: string) => (Number(stat(name).mode) & 0o7777).toString(8).padStart(4, "0");
  const owner = `${OWNER.uid}:${OWNER.gid}`;
  return {
    name: seen(() => {
      const isAlike = (name: string) => NAMES.includes(name) && readFileSync(join(root, "names", name), "utf8") === name;
      const found = readdirSync(join(root, "names"));
      return (found.length === NAMES.length && found.every(isAlike)) || "other names";
    }),
    "size and content": seen(
      () => (stat("content").size === BigInt(CONTENT.length) && readFileSync(join(root, "content")).equals(CONTENT)) || "other content",
    ),
    mode: seen(() => same(mode("mode"), "0640")),
    owner: seen(() => same(owned("owner"), owner)),
    mtime: seen(() => stat("mtime").mtimeNs / 1_000_000_000n === BigInt(SECONDS) || "another"),
    nanoseconds: seen(() => precision(stat("precise").mtimeNs)),
    symlink: seen(() => (stat("link").isSymbolicLink() ? same(readlinkSync(join(root, "link")), TARGET) : "a file"), "link"),
    "directory's mode and owner": seen(() => same(`${mode("directory")} ${owned("directory")}`, `0750 ${owner}`)),
    "empty directory": seen(() => (stat("empty").isDirectory() && readdirSync(join(root, "empty")).length === 0) || "not as one", "empty"),
    xattr: xattrOf(join(root, "xattr")),
  };
}

/** Some peers keep an entry as a file of a longer name. */
function otherwise(root: string, name: string): string {
  const longer = name === "" ? undefined : readdirSync(root).find((each) => each.startsWith(name));
  return longer === undefined ? "nothing" : `a file ${longer}`;
}

function precision(mtimeNs: bigint): string | true {
  if (mtimeNs / 1_000_000_000n !== BigInt(SECONDS)) return "another mtime";
  return (
    mtimeNs % 1_000_000_000n === BigInt(NANOSECONDS) ||
    (mtimeNs % 1_000_000_000n === 0n ? "whole seconds" : `${mtimeNs % 1_000_000_000n} ns`)
  );
}

function xattrOf(path: string): string {
  const { code, said } = python("print(os.getxattr(sys.argv[1], sys.argv[2]).decode())", path, XATTR.name);
  return code !== 0 ? "nothing" : said.trim() === XATTR.value ? "yes" : said.trim();
}
