/** The sample as peers that are not installed here write it: objects in the forms that their documentation or source has. */
import { PutObjectCommand, type PutObjectCommandInput, type S3Client } from "@aws-sdk/client-s3";
import {
  type Attribute,
  CONTENT,
  DIRECTORY_MODE,
  MODE,
  NAMES,
  NANOSECONDS,
  type Observed,
  OWNER,
  SECONDS,
  TARGET,
  XATTR,
} from "./interop-sample.ts";

type Metadata = Readonly<Record<string, string>>;

export interface Form {
  readonly peer: string;
  /** What it keeps; the rest of the sample has no form. */
  readonly keeps: readonly Attribute[];
  readonly objects: readonly Pick<PutObjectCommandInput, "Key" | "Body" | "Metadata" | "ContentType">[];
}

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const OWNED: Metadata = { uid: String(OWNER.uid), gid: String(OWNER.gid) };
const PLAIN: readonly Attribute[] = ["name", "size and content", "empty directory"];

/** The sample's plain files, with `extra` metadata on each, and the objects of its directories. */
function plain(extra: Metadata = {}, directory = (name: string) => `${name}/`): Form["objects"] {
  const files = ["content", "mode", "owner", "mtime", "precise", "xattr"].map((Key) => ({ Key, Body: CONTENT, Metadata: extra }));
  const names = NAMES.map((name) => ({ Key: `names/${name}`, Body: Buffer.from(name), Metadata: extra }));
  return [...files, ...names, { Key: directory("empty"), Body: Buffer.alloc(0) }, { Key: "directory/inside", Body: Buffer.alloc(0) }];
}

/** `objects`, with others of the same key in place of theirs. */
function withObjects(objects: Form["objects"], others: Form["objects"]): Form["objects"] {
  const keys = new Set(others.map(({ Key }) => Key));
  return [...objects.filter(({ Key }) => !keys.has(Key)), ...others];
}

/** github.com/yandex-cloud/geesefs, core/handles.go: setMetadata and setFileMode; decimal, and seconds alone. */
const GEESEFS: Form = {
  peer: "geesefs",
  keeps: [...PLAIN, "mode", "owner", "mtime", "symlink", "directory's mode and owner", "xattr"],
  objects: withObjects(plain(), [
    { Key: "mode", Body: CONTENT, Metadata: { mode: String(S_IFREG | MODE) } },
    { Key: "owner", Body: CONTENT, Metadata: OWNED },
    { Key: "mtime", Body: CONTENT, Metadata: { mtime: String(SECONDS) } },
    { Key: "link", Body: Buffer.alloc(0), Metadata: { "--symlink-target": encodeURIComponent(TARGET).replaceAll("%2F", "/") } },
    {
      ...{ Key: "directory/", Body: Buffer.alloc(0) },
      Metadata: { ...OWNED, mode: String(S_IFDIR | DIRECTORY_MODE) },
    },
    { Key: "xattr", Body: CONTENT, Metadata: { [XATTR.name.replace("user.", "")]: XATTR.value } },
  ]),
};

/** github.com/kahing/goofys: objects and directory objects without any attributes; extended attributes are plain metadata. */
const GOOFYS: Form = {
  peer: "goofys",
  keeps: [...PLAIN, "xattr"],
  objects: withObjects(plain(), [{ Key: "xattr", Body: CONTENT, Metadata: { [XATTR.name.replace("user.", "")]: XATTR.value } }]),
};

/** "POSIX metadata support" of FSx for Lustre's documentation; DataSync and File Gateway write the same. */
const awsFile = (mode: number, time: bigint, owner = { uid: 0, gid: 0 }) => ({
  "file-permissions": `0${mode.toString(8)}`,
  "file-owner": String(owner.uid),
  "file-group": String(owner.gid),
  "file-atime": `${time}ns`,
  "file-mtime": `${time}ns`,
});
const AWS_TIME = BigInt(SECONDS) * 1_000_000_000n;
const AWS: Form = {
  peer: "AWS FSx, DataSync",
  keeps: [...PLAIN, "mode", "owner", "mtime", "nanoseconds", "symlink", "directory's mode and owner"],
  objects: withObjects(plain(awsFile(S_IFREG | 0o644, AWS_TIME)), [
    { Key: "mode", Body: CONTENT, Metadata: awsFile(S_IFREG | MODE, AWS_TIME) },
    { Key: "owner", Body: CONTENT, Metadata: awsFile(S_IFREG | 0o644, AWS_TIME, OWNER) },
    { Key: "precise", Body: CONTENT, Metadata: awsFile(S_IFREG | 0o644, AWS_TIME + BigInt(NANOSECONDS)) },
    { Key: "link", Body: Buffer.from(TARGET), Metadata: awsFile(S_IFLNK | 0o777, AWS_TIME) },
    { Key: "directory/", Body: Buffer.alloc(0), Metadata: awsFile(S_IFDIR | DIRECTORY_MODE, AWS_TIME, OWNER) },
  ]),
};

/** Older s3fs and other tools: a directory is an object without the slash, known by its Content-Type. */
const SLASHLESS: Form = {
  peer: "directories without a slash (older s3fs)",
  keeps: PLAIN,
  objects: withObjects(
    plain({}, (name) => name),
    [{ Key: "empty", Body: Buffer.alloc(0), ContentType: "application/x-directory" }],
  ),
};

/** Hadoop's and s3n's. */
const FOLDER_SUFFIX: Form = { peer: "directories as `_$folder$` (Hadoop)", keeps: PLAIN, objects: plain({}, (name) => `${name}_$folder$`) };

export const FORMS: readonly Form[] = [GEESEFS, GOOFYS, AWS, SLASHLESS, FOLDER_SUFFIX];

/** What geesefs takes from objects of ours, by the same source: `head` gives the user metadata of a key. */
export async function readAsGeesefs(head: (key: string) => Promise<Metadata>): Promise<Observed> {
  const [mode, owner, mtime, precise] = [await head("mode"), await head("owner"), await head("mtime"), await head("precise")];
  const [link, directory, xattr] = [await head("link"), await head("directory/"), await head("xattr")];
  // Names and contents are whatever the object's are; the marker has to be there.
  await head("empty/");
  const permissions = (metadata: Metadata) => (Number(metadata["mode"]) & 0o7777).toString(8).padStart(4, "0");
  const owned = ({ uid, gid }: Metadata) => `${uid}:${gid}`;
  // strconv.ParseUint: a fraction makes it no number, and Last-Modified is shown.
  const seconds = ({ mtime: text = "" }: Metadata) => (/^\d+$/.test(text) ? text : "Last-Modified");
  const found: Observed = {
    ...{ name: "yes", "size and content": "yes", "empty directory": "yes" },
    ...{ mode: permissions(mode), owner: owned(owner), mtime: seconds(mtime), nanoseconds: seconds(precise) },
    symlink: decodeURIComponent(link["--symlink-target"] ?? "a file"),
    "directory's mode and owner": `${permissions(directory)} ${owned(directory)}`,
    xattr: xattr[XATTR.name.replace("user.", "")] ?? "nothing",
  };
  const wanted: Partial<Observed> = {
    ...{ mode: "0640", owner: owned(OWNED), mtime: String(SECONDS), symlink: TARGET, xattr: XATTR.value },
    "directory's mode and owner": `0750 ${owned(OWNED)}`,
  };
  const cells = Object.entries(found).map(([name, shown]) => [name, shown === wanted[name as Attribute] ? "yes" : shown]);
  return { ...found, ...(Object.fromEntries(cells) as Partial<Observed>) };
}

export async function writeForm(client: S3Client, Bucket: string, { objects }: Form): Promise<void> {
  for (const object of objects) await client.send(new PutObjectCommand({ Bucket, ...object }));
}
