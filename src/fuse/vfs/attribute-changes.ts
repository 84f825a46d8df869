/**
 * `AttributeChanges`: chmod, chown, utimens, truncate and extended attributes.
 *
 * A file with unsent content takes the change along with its next upload. Any other object is copied onto itself with new
 * metadata, one request, and everything foreign on it is kept. A directory's attributes are those of its marker, which is empty
 * and simply put again.
 */
import { type Timespec, timespecOfMs } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import { recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Files } from "./files.ts";
import type { AttrChanges, Caller } from "./filesystem.ts";
import { XATTR_CREATE, XATTR_REPLACE } from "./filesystem.ts";
import { shownToGroup, shownWithUmask } from "./group-view.ts";
import type { Inode } from "./inode.ts";
import { attributesOf, storedMetadata } from "./inode-attributes.ts";
import { directoryKey } from "./key-names.ts";
import type { Lookup } from "./lookup.ts";
import { PERMISSIONS, S_IFMT, S_ISGID, withoutPrivileges } from "./mode.ts";
import { type Attributes, METADATA_LIMIT_BYTES, metadataBytes } from "./object-metadata.ts";
import { ACCESS_ACL, ACL_BITS, type AccessAcl, aclWithMode, DEFAULT_ACL, readAccessAcl } from "./posix-acl.ts";
import type { Uploads } from "./uploads.ts";

/** xattr(7)'s, without `system`: its attributes are the kernel's own. */
const NAMESPACES = /^(?:user|trusted|security)\../;

/** Kept for who copies them along (rsync -A, cp -a, tar --acls). With the option `acl` the kernel enforces them. */
const ACLS = new Set([ACCESS_ACL, DEFAULT_ACL]);

export const DIRECTORY_CONTENT_TYPE = "application/x-directory";

export class AttributeChanges {
  readonly #context: VfsContext;
  readonly #files: Files;
  readonly #uploads: Uploads;
  readonly #lookup: Lookup;

  constructor(context: VfsContext, parts: { files: Files; uploads: Uploads; lookup: Lookup }) {
    this.#context = context;
    this.#files = parts.files;
    this.#uploads = parts.uploads;
    this.#lookup = parts.lookup;
  }

  /** Applies setattr's changes. The size first: what follows then rides on the upload that it may cause. */
  async apply(inode: Inode, changes: AttrChanges): Promise<void> {
    this.#files.checkWritable();
    const rest = this.#changed(inode, changes);
    if (changes.size !== undefined) {
      // A change that comes with the size is stored by the same upload.
      if (rest !== undefined) this.#take(inode, rest);
      await this.#files.truncate(inode, changes.size);
      return;
    }
    if (rest !== undefined) await inode.lock.run(() => this.#store(inode, rest));
  }

  #changed(inode: Inode, changes: AttrChanges): Attributes | undefined {
    const { group } = this.#context.options;
    // What somebody sets a mode or an owner of is the group's own from then on, and shows what was set.
    const adopts = [changes.mode, changes.uid, changes.gid].some((change) => change !== undefined);
    const before = shownToGroup(attributesOf(inode), adopts ? group : undefined);
    const now = timespecOfMs(this.#context.clock.now());
    const time = (value: Timespec | "now" | undefined, old: Timespec) => (value === undefined ? old : value === "now" ? now : value);
    const { mode, uid, gid, atime, mtime, killSuidGid } = changes;
    if ([mode, uid, gid, atime, mtime].every((change) => change === undefined) && !killSuidGid) return undefined;
    const permissions = mode === undefined ? before.mode : (before.mode & S_IFMT) | (mode & PERMISSIONS);
    return {
      ...before,
      mode: killSuidGid ? withoutPrivileges(permissions) : permissions,
      uid: uid ?? before.uid,
      gid: group !== undefined && adopts ? group : (gid ?? before.gid),
      atime: time(atime, before.atime),
      mtime: time(mtime, before.mtime),
      ctime: changes.ctime ?? now,
    };
  }

  #take(inode: Inode, attributes: Attributes): void {
    const before = attributesOf(inode);
    inode.attributes = attributes;
    const acl = inode.xattrs.get(ACCESS_ACL);
    if (acl !== undefined && before.mode !== attributes.mode) {
      inode.xattrs = new Map(inode.xattrs).set(ACCESS_ACL, aclWithMode(acl, attributes.mode));
    }
    inode.attributesDirty = true;
    const dirty = inode.content?.dirty;
    if (dirty !== undefined && (before.mtime !== attributes.mtime || before.atime !== attributes.atime)) {
      dirty.setTimes(attributes.atime, attributes.mtime);
    }
  }

  async #store(inode: Inode, attributes: Attributes): Promise<void> {
    await this.#lookup.complete(inode);
    const waiting = inode.content?.writers !== undefined && inode.content.writers > 0;
    this.#take(inode, attributes);
    if (inode.detached) return;
    if (inode.kind === "dir") await this.#storeDirectory(inode);
    else if (waiting || this.#unsent(inode)) recordDirty(this.#context, inode);
    else await this.#uploads.storeAttributes(inode);
  }

  /** The content is to be uploaded anyway. */
  #unsent(inode: Inode): boolean {
    return inode.version === null || (inode.content?.dirty?.changed() ?? false);
  }

  /** Writes the directory's marker; the root of a bucket has no key for one, so its attributes last as long as the mount. */
  async #storeDirectory(inode: Inode): Promise<void> {
    try {
      if (directoryKey(this.#context.options.prefix, inode) !== "") await this.putMarker(inode);
    } finally {
      inode.attributesDirty = false;
    }
  }

  /** Creates or replaces the marker object of a directory with its present attributes. */
  async putMarker(inode: Inode): Promise<void> {
    const { store, options } = this.#context;
    const key = directoryKey(options.prefix, inode);
    const metadata = storedMetadata(inode);
    const headers = { ...inode.version?.headers, contentType: DIRECTORY_CONTENT_TYPE };
    const { etag, dateMs } = await store.put(key, new Uint8Array(0), { headers, metadata });
    inode.version = { etag, size: 0, lastModified: dateMs, headers, metadata };
    if (inode.directory !== undefined) inode.directory.marker = { key, size: 0, etag, lastModified: dateMs };
    this.#uploads.settle(inode, key);
  }

  getXattr(inode: Inode, name: string): Uint8Array {
    const own = attributesOf(inode);
    const value = inode.xattrs.get(name);
    const none = () => new DriverError("no_data", `no extended attribute ${name}`);
    if (value === undefined) throw none();
    if (name !== ACCESS_ACL) return value;
    // The mode that is shown decides: s3fs's chmod leaves the ACL behind, and who sees a group's view has no other say.
    const { umask = 0, group } = this.#context.options;
    const shown = shownToGroup(shownWithUmask(own, umask), group);
    if (shown.gid !== own.gid) throw none();
    return aclWithMode(value, shown.mode);
  }

  /** xattr(7): who may not read an attribute of `trusted` does not see its name either. */
  listXattrs(inode: Inode, { uid }: Caller): string[] {
    return [...inode.xattrs.keys()].filter((name) => uid === 0 || !name.startsWith("trusted."));
  }

  /** The value is copied: a channel may take its memory back. `killSetGid`: with an access ACL the set-group-id bit goes, since who sets it is not in the group. */
  async setXattr(inode: Inode, name: string, value: Uint8Array, flags: number, killSetGid = false): Promise<void> {
    this.#files.checkWritable();
    // Who may do so in which namespace the kernel has checked.
    if (!NAMESPACES.test(name) && !ACLS.has(name)) throw new DriverError("unsupported", `${name} is in no namespace that is kept`);
    const acl = name === ACCESS_ACL ? readAccessAcl(value) : undefined;
    await inode.lock.run(async () => {
      if (acl !== undefined) return this.#setAccessAcl(inode, value, acl, killSetGid);
      const present = inode.xattrs.has(name);
      if (present && (flags & XATTR_CREATE) !== 0) throw new DriverError("exists", `${name} is set already`);
      if (!present && (flags & XATTR_REPLACE) !== 0) throw new DriverError("no_data", `${name} is not set`);
      await this.#storeXattrs(inode, new Map(inode.xattrs).set(name, Uint8Array.from(value)));
    });
  }

  /** acl(5): the mode follows the ACL, and one that says no more than a mode is none. */
  async #setAccessAcl(inode: Inode, value: Uint8Array, { mode, minimal }: AccessAcl, killSetGid: boolean): Promise<void> {
    const before = attributesOf(inode).mode;
    const wanted = (before & ~(killSetGid ? ACL_BITS | S_ISGID : ACL_BITS)) | mode;
    if (minimal && before === wanted && !inode.xattrs.has(ACCESS_ACL)) return;
    const xattrs = new Map(inode.xattrs);
    if (minimal) xattrs.delete(ACCESS_ACL);
    else xattrs.set(ACCESS_ACL, Uint8Array.from(value));
    await this.#storeXattrs(inode, xattrs, this.#changed(inode, { mode: wanted }));
  }

  async removeXattr(inode: Inode, name: string): Promise<void> {
    this.#files.checkWritable();
    await inode.lock.run(async () => {
      const left = new Map(inode.xattrs);
      if (!left.delete(name)) {
        // As on a local disk: what says no more than the mode is an ACL too, of which nothing is kept.
        if (ACLS.has(name)) return;
        throw new DriverError("no_data", `no extended attribute ${name}`);
      }
      await this.#storeXattrs(inode, left);
    });
  }

  async #storeXattrs(inode: Inode, xattrs: ReadonlyMap<string, Uint8Array>, attributes?: Attributes): Promise<void> {
    const before = inode.xattrs;
    inode.xattrs = xattrs;
    try {
      if (metadataBytes(storedMetadata(inode)) > METADATA_LIMIT_BYTES) {
        throw new DriverError("no_space", `S3 allows ${METADATA_LIMIT_BYTES} bytes of metadata, extended attributes included`);
      }
      await this.#store(inode, attributes ?? { ...attributesOf(inode), ctime: timespecOfMs(this.#context.clock.now()) });
    } catch (error) {
      inode.xattrs = before;
      throw error;
    }
  }
}
