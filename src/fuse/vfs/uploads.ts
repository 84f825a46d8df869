/**
 * `Uploads`: brings dirty files into the bucket, at close, fsync and the end, and keeps at it when the store fails.
 *
 * No lost update: a version that replaces another says which one it replaces (If-Match), where the store obeys that. When the object was
 * replaced elsewhere meanwhile, the writer gets `stale`, and the data goes to the conflict folder: it is never dropped.
 * A failed upload stays in the spool; the closer gets the error and the upload is tried again in the background until it works.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { DirtyFile, UploadResult, UploadTarget } from "#fuse/write/dirty-file.ts";
import type { PutConditions, PutResult, UserMetadata } from "#s3/object-store.ts";
import { keepConflict } from "./conflicts.ts";
import { followVersion, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Inode, Version } from "./inode.ts";
import { attributesOf, attrOf, storedMetadata } from "./inode-attributes.ts";
import { pathKey } from "./key-names.ts";
import { onlyTimesAdvanced } from "./metadata-ahead.ts";
import type { Attributes } from "./object-metadata.ts";
import type { OpenContent } from "./open-content.ts";
import { findOwnVersion, sentVersion } from "./own-version.ts";

const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 60_000;

type SettledTimes = Pick<Attributes, "mtime"> & Partial<Pick<Attributes, "ctime">>;

export class Uploads {
  readonly #context: VfsContext;
  /** Closed files whose upload failed. */
  readonly #failed = new Set<Inode>();
  #lastFailure: DriverError | undefined;
  #retryMs = FIRST_RETRY_MS;
  #timer: NodeJS.Timeout | undefined;
  #retire: (inode: Inode) => Promise<void> = async () => undefined;

  constructor(context: VfsContext) {
    this.#context = context;
  }

  /** What to do with a closed file once its upload went through. */
  onRetried(retire: (inode: Inode) => Promise<void>): void {
    this.#retire = retire;
  }

  /** True when closing or syncing the file has something to send. */
  isDue(inode: Inode): boolean {
    if (inode.content?.dirty === undefined) return false;
    // What is written to a file that was removed here dies with it; one that was replaced elsewhere must not lose it silently.
    return inode.superseded ? inode.content.dirty.changed() : !inode.detached && inode.local;
  }

  /** Uploads the file if it is due. Under the inode's lock. */
  async upload(inode: Inode): Promise<void> {
    if (!this.isDue(inode)) return;
    const { content, parent, name } = inode;
    const dirty = content?.dirty;
    if (content === undefined || dirty === undefined) return;
    if (inode.superseded) throw this.#putAside(inode);
    const done = parent?.directory?.beginChange(name);
    try {
      const target = { ...this.#target(inode, content), mayBeMapped: content.mayBeMapped };
      const { key, headers } = target;
      const attributesSent = inode.attributes;
      const { ctime } = attrOf(inode);
      const result = await this.#send(inode, content, dirty, target);
      const { etag, size, dateMs, metadata } = result;
      inode.version = { etag, size, lastModified: dateMs, headers, metadata };
      const times = await this.#settleAhead(inode, content, target, result);
      // Unless somebody changed them while the bytes were under way.
      const isSame = inode.attributes === attributesSent;
      if (isSame) inode.attributesDirty = false;
      inode.attributes = { ...attributesOf(inode), mtime: times.mtime, ...(isSame ? { ctime: times.ctime ?? ctime } : {}) };
      content.exclusive = false;
      content.sent = [];
      this.settle(inode, key);
      recordDirty(this.#context, inode);
    } catch (error) {
      throw this.#onFailure(inode, DriverError.from(error));
    } finally {
      done?.();
    }
  }

  /** Uploads under the conditions that must hold; a version of our own that came to be there unnoticed is no conflict. */
  async #send(inode: Inode, content: OpenContent, dirty: DirtyFile, target: UploadTarget): ReturnType<DirtyFile["upload"]> {
    recordDirty(this.#context, inode);
    try {
      return await dirty.upload({ ...target, ...this.#conditions(inode) });
    } catch (error) {
      // O_EXCL is how processes take a lock: two that create alike at one time must not both believe that they did.
      if (content.exclusive) throw error;
      content.sent.push(sentVersion(target.metadata, dirty.fd));
      if (content.ahead !== undefined) content.sent.push({ metadata: content.ahead.metadata, md5: undefined });
      if (!isFault(error, "stale", "exists")) throw error;
      const own = await findOwnVersion(this.#context.store, target.key, content.sent);
      if (own === undefined) throw error;
      return dirty.upload({ ...target, ifMatch: own });
    }
  }

  /** Lets a new file's parts go to the bucket while it is being written. */
  sendAhead(inode: Inode): void {
    const { content } = inode;
    if (content === undefined) return;
    content.dirty?.sendAhead({
      key: () => {
        const isComing = inode.content === content && !inode.superseded && this.isDue(inode);
        return isComing ? pathKey(this.#context.options.prefix, inode) : undefined;
      },
      begin: () => {
        const target = this.#target(inode, content);
        const { metadata } = target;
        const { mtime, ctime } = attrOf(inode);
        content.ahead = { metadata, attributes: attributesOf(inode), mtime, ctime };
        // Should the engine die after the upload and before it knows: this is how a successor knows the object for our own.
        const onMultipart = (upload: OpenContent["upload"]) => this.#noteMultipart(inode, content, upload && { ...upload, metadata });
        return { ...target, onMultipart };
      },
    });
  }

  #target(inode: Inode, content: OpenContent): UploadTarget {
    const { options } = this.#context;
    const headers = inode.version?.headers ?? (options.storageClass === undefined ? {} : { storageClass: options.storageClass });
    const onMultipart = (upload: OpenContent["upload"]) => this.#noteMultipart(inode, content, upload);
    return { key: pathKey(options.prefix, inode), headers, metadata: storedMetadata(inode), onMultipart };
  }

  /**
   * The metadata of an object whose first parts went ahead was fixed then. If only its times advanced since, by writing, the file's
   * become those that were stored; what somebody set meanwhile is stored now. Answers the times that the object has after that.
   */
  async #settleAhead(inode: Inode, content: OpenContent, { key, metadata }: UploadTarget, result: UploadResult): Promise<SettledTimes> {
    const { ahead } = content;
    if (result.metadata === metadata || ahead?.metadata !== result.metadata) return { mtime: result.mtime };
    if (onlyTimesAdvanced(ahead, inode.attributes, metadata)) {
      content.dirty?.showMtime(ahead.mtime);
      return ahead;
    }
    const version = inode.version as Version;
    const { etag, dateMs } = await this.#copyOntoItself(key, version, metadata);
    inode.version = { ...version, etag, lastModified: dateMs, metadata };
    return { mtime: result.mtime };
  }

  #noteMultipart(inode: Inode, content: OpenContent, upload: OpenContent["upload"]): void {
    content.upload = upload;
    recordDirty(this.#context, inode);
  }

  /** After the bucket took a new version of the inode: directory, attribute cache and validity follow. */
  settle(inode: Inode, key: string): void {
    const { attrs, clock } = this.#context;
    const version = inode.version;
    if (!version) return;
    attrs.put(key, version, { fromPut: true });
    inode.validatedAt = clock.now();
    const child = inode.parent?.directory?.obtain(inode.name);
    if (child !== undefined && !inode.detached && inode.kind !== "dir") {
      child.object = { key, size: version.size, etag: version.etag, lastModified: version.lastModified };
      child.inode = inode;
    }
  }

  /** What an overwrite of this inode's object must find in the bucket. */
  #conditions(inode: Inode): PutConditions {
    const { conditions } = this.#context;
    const replaces = inode.content?.replaces === undefined ? inode.version : inode.content.replaces;
    if (replaces) return conditions.putIfMatch ? { ifMatch: replaces.etag } : {};
    return inode.content?.exclusive && conditions.putIfNoneMatch ? { ifNoneMatch: "*" } : {};
  }

  #onFailure(inode: Inode, error: DriverError): DriverError {
    const { log } = this.#context;
    if (!isFault(error, "stale", "exists", "not_found")) {
      this.#lastFailure = error;
      log.error({ name: inode.name, error }, "upload failed; the data is kept and will be sent again");
      return error;
    }
    this.#context.inodes.detach(inode, "superseded");
    inode.parent?.directory?.expire();
    return this.#putAside(inode, error);
  }

  /** Copies the writer's data where nobody loses it, and gives the error that tells the writer. */
  #putAside(inode: Inode, cause?: DriverError): DriverError {
    const { name, node, content } = inode;
    const kept = keepConflict(this.#context, { name, node, path: content?.dirty?.path ?? "" });
    inode.content?.dirty?.markClean();
    this.#context.log.warn(
      { name: inode.name, kept, ...(cause === undefined ? {} : { error: cause }) },
      "the object was changed elsewhere while it was written here; this host's data was put aside",
    );
    return new DriverError("stale", `${inode.name} was changed elsewhere while it was written here; this host's data is in ${kept}`, {
      cause,
    });
  }

  /** A closed file could not be uploaded: try again later, and again. */
  retryLater(inode: Inode): void {
    this.#failed.add(inode);
    this.#tell();
    this.#timer ??= setTimeout(() => void this.#retryAll(), this.#retryMs).unref();
  }

  async #retryAll(): Promise<void> {
    this.#timer = undefined;
    const before = this.#failed.size;
    for (const inode of [...this.#failed]) await this.#retry(inode);
    this.#tell();
    this.#retryMs = this.#failed.size < before ? FIRST_RETRY_MS : Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    if (this.#failed.size > 0) this.#timer ??= setTimeout(() => void this.#retryAll(), this.#retryMs).unref();
  }

  async #retry(inode: Inode): Promise<void> {
    try {
      await this.#context.namespace.shared(() => inode.lock.run(() => this.upload(inode)));
      this.#failed.delete(inode);
      await this.#retire(inode);
    } catch (error) {
      if (inode.detached) {
        this.#failed.delete(inode);
        await this.#retire(inode);
      }
      this.#context.log.debug({ name: inode.name, error: DriverError.from(error) }, "another try to upload failed");
    }
  }

  /** Changes only what the object's metadata says, by a copy onto itself; its bytes stay where they are. Under the inode's lock. */
  async storeAttributes(inode: Inode): Promise<void> {
    const { options } = this.#context;
    const done = inode.parent?.directory?.beginChange(inode.name);
    try {
      const key = pathKey(options.prefix, inode);
      const metadata = storedMetadata(inode);
      const version = inode.version;
      if (!version) return;
      const result: PutResult = await this.#copyOntoItself(key, version, metadata);
      inode.version = { ...version, etag: result.etag, lastModified: result.dateMs, metadata };
      // A copy of what was sent in parts has another ETag.
      followVersion(this.#context, inode, { key, etag: version.etag, size: version.size }, { key, etag: result.etag, size: version.size });
      inode.attributesDirty = false;
      this.settle(inode, key);
    } catch (error) {
      inode.attributes = undefined; // the bucket's are the truth again
      inode.attributesDirty = false;
      throw isFault(error, "not_found") ? new DriverError("stale", `${inode.name} was removed elsewhere`, { cause: error }) : error;
    } finally {
      done?.();
    }
  }

  #copyOntoItself(key: string, version: Version, metadata: UserMetadata): Promise<PutResult> {
    const { store, conditions } = this.#context;
    const replace = { headers: version.headers, metadata };
    return store.copy(key, key, {
      replace,
      sourceSize: version.size,
      ...(conditions.copySourceIfMatch ? { sourceIfMatch: version.etag } : {}),
    });
  }

  /** Uploads all that is due; throws the first failure after trying every file. */
  async all(): Promise<void> {
    const { inodes, namespace } = this.#context;
    const due = [...inodes.all()].filter((inode) => this.isDue(inode));
    const results = await Promise.allSettled(due.map((inode) => namespace.shared(() => inode.lock.run(() => this.upload(inode)))));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    for (const inode of [...this.#failed]) await this.#retry(inode);
    this.#tell();
  }

  #tell(): void {
    this.#context.onUploads?.(this.#failed.size, this.#lastFailure);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
