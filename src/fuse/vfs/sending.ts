/**
 * `Sender`: brings one state of one file into the bucket: its content with all attributes, or the attributes alone.
 *
 * No lost update: a version that replaces another says which one it replaces (If-Match), where the store obeys that. When the object was
 * replaced elsewhere meanwhile, the writer gets `stale`, and the data goes to the conflict folder: it is never dropped.
 *
 * The bytes may be on their way for minutes. So the transfer needs no lock: it begins and ends under the inode's, and in between the
 * file may be opened, written and changed. While `content.sending` is set the inode keeps its name, and its content stays.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { DirtyFile, UploadResult, UploadTarget } from "#fuse/write/dirty-file.ts";
import type { ObjectHeaders, PutConditions, PutResult, UserMetadata } from "#s3/object-store.ts";
import { keepConflict } from "./conflicts.ts";
import { followVersion, recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import { propagate } from "./hard-links.ts";
import type { Inode, Version } from "./inode.ts";
import { attributesOf, attrOf, storedMetadata } from "./inode-attributes.ts";
import { pathKey } from "./key-names.ts";
import { onlyTimesAdvanced } from "./metadata-ahead.ts";
import type { Attributes } from "./object-metadata.ts";
import type { OpenContent, Sending } from "./open-content.ts";
import { findOwnVersion, rememberSent, sentVersion } from "./own-version.ts";

/** What is remembered of the inode from the beginning of a transfer to its end. */
interface Begun {
  readonly content: OpenContent;
  readonly target: UploadTarget;
  readonly attributes: Attributes | undefined;
  readonly ctime: Attributes["ctime"];
  /** Ends the change of the directory. */
  readonly done: (() => void) | undefined;
}

type SettledTimes = Pick<Attributes, "mtime"> & Partial<Pick<Attributes, "ctime">>;

export class Sender {
  readonly #context: VfsContext;

  constructor(context: VfsContext) {
    this.#context = context;
  }

  /** Begins to send the file's content. Under the inode's lock, with unsent content and nothing under way. */
  begin(inode: Inode): Sending {
    const { content, parent, name } = inode;
    const dirty = content?.dirty;
    if (content === undefined || dirty === undefined) throw new DriverError("internal", `${name} has no content to send`);
    // A file that nobody has open is mapped by nobody either.
    const mayBeMapped = content.mayBeMapped && content.handles > 0;
    const control = new AbortController();
    const target = { ...this.#target(inode, content), mayBeMapped, cancelled: control.signal };
    const done = parent?.directory?.beginChange(name);
    const begun: Begun = { content, target, attributes: inode.attributes, ctime: attrOf(inode).ctime, done };
    content.underWay = { metadata: target.metadata, md5: undefined, size: dirty.stat().size };
    const arriving = this.#send(inode, content, dirty, target);
    let finished: Promise<void> | undefined;
    const sending: Sending = {
      transferred: arriving.then(
        () => undefined,
        () => undefined,
      ),
      finish: () => (finished ??= this.#finish(inode, begun, arriving)),
      cancel: () => control.abort(),
      get isCancelled() {
        return control.signal.aborted;
      },
    };
    content.sending = sending;
    return sending;
  }

  async #finish(inode: Inode, { content, target, attributes, ctime, done }: Begun, arriving: Promise<UploadResult>): Promise<void> {
    try {
      const result = await arriving;
      const { etag, size, dateMs, metadata } = result;
      inode.version = { etag, size, lastModified: dateMs, headers: target.headers, metadata };
      const times = await this.#settleAhead(inode, content, target, result);
      // Unless somebody changed them while the bytes were under way.
      const isSame = inode.attributes === attributes;
      if (isSame) inode.attributesDirty = false;
      inode.attributes = { ...attributesOf(inode), mtime: times.mtime, ...(isSame ? { ctime: times.ctime ?? ctime } : {}) };
      // A write that came after the times were taken is in the content that was sent, and its time is not: the next flush sends that.
      if (inode.version.metadata["mtime"] !== storedMetadata(inode)["mtime"]) inode.attributesDirty = true;
      content.exclusive = false;
      content.closed = false;
      content.sent = [];
      content.underWay = undefined;
      this.settle(inode, target.key);
      recordDirty(this.#context, inode);
      await this.#propagate(inode);
    } catch (error) {
      throw target.cancelled?.aborted && isFault(error, "interrupted") ? error : this.#onFailure(inode, DriverError.from(error));
    } finally {
      content.sending = undefined;
      content.underWay = undefined;
      done?.();
    }
  }

  /** Uploads under the conditions that must hold; a version of our own that came to be there unnoticed is no conflict. */
  async #send(inode: Inode, content: OpenContent, dirty: DirtyFile, target: UploadTarget): Promise<UploadResult> {
    const { store, options } = this.#context;
    recordDirty(this.#context, inode);
    try {
      return await dirty.upload({ ...target, ...this.#conditions(inode) });
    } catch (error) {
      // O_EXCL is how processes take a lock: two that create alike at one time must not both believe that they did.
      if (content.exclusive && options.durability === "remote") throw error;
      // Nothing that would store it was sent.
      if (target.cancelled?.aborted && isFault(error, "interrupted")) throw error;
      rememberSent(content.sent, sentVersion(target.metadata, dirty.fd));
      if (content.ahead !== undefined) rememberSent(content.sent, { metadata: content.ahead.metadata, md5: undefined });
      if (!isFault(error, "stale", "exists")) throw error;
      const own = await findOwnVersion(store, target.key, content.sent);
      if (own === undefined) throw error;
      if (inode.version) dirty.follow({ key: target.key, etag: inode.version.etag }, own);
      return dirty.upload({ ...target, ifMatch: own.etag });
    }
  }

  /** Lets a new file's parts go to the bucket while it is being written. `isComing`: an upload of the file is to be expected. */
  sendAhead(inode: Inode, isComing: () => boolean): void {
    const { content } = inode;
    if (content === undefined) return;
    content.dirty?.sendAhead({
      key: () => (inode.content === content && isComing() ? pathKey(this.#context.options.prefix, inode) : undefined),
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
    const key = pathKey(options.prefix, inode);
    const headers = keptHeaders(inode, key) ?? (options.storageClass === undefined ? {} : { storageClass: options.storageClass });
    const onMultipart = (upload: OpenContent["upload"]) => this.#noteMultipart(inode, content, upload);
    return { key, headers, metadata: storedMetadata(inode), onMultipart };
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
      log.error({ name: inode.name, error }, "upload failed; the data is kept and will be sent again");
      return error;
    }
    this.#context.inodes.detach(inode, "superseded");
    inode.parent?.directory?.expire();
    return this.putAside(inode, error);
  }

  /** Copies the writer's data where nobody loses it, and gives the error that tells the writer. */
  putAside(inode: Inode, cause?: DriverError): DriverError {
    const { name, node, content } = inode;
    const kept = keepConflict(this.#context, { name, node, path: content?.dirty?.path ?? "", ranges: content?.dirty?.extents() });
    inode.content?.dirty?.markClean();
    this.#context.log.warn(
      { name: inode.name, kept, ...(cause === undefined ? {} : { error: cause }) },
      "the object was changed elsewhere while it was written here; this host's data was put aside",
    );
    return new DriverError("stale", `${inode.name} was changed elsewhere while it was written here; this host's data is in ${kept}`, {
      cause,
    });
  }

  /** Changes only what the object's metadata says, by a copy onto itself; its bytes stay where they are. Under the inode's lock. */
  async storeAttributes(inode: Inode): Promise<void> {
    const { options, state } = this.#context;
    const { version } = inode;
    if (!version) return;
    const done = inode.parent?.directory?.beginChange(inode.name);
    try {
      const key = pathKey(options.prefix, inode);
      const metadata = storedMetadata(inode);
      const result: PutResult = await this.#copyOntoItself(key, version, metadata);
      inode.version = { ...version, etag: result.etag, lastModified: result.dateMs, metadata };
      // A copy of what was sent in parts has another ETag.
      followVersion(this.#context, inode, { key, etag: version.etag, size: version.size }, { key, etag: result.etag, size: version.size });
      inode.attributesDirty = false;
      this.settle(inode, key);
      if (inode.content?.dirty === undefined) state.dropDirty(inode.node);
      else recordDirty(this.#context, inode);
      await this.#propagate(inode);
    } finally {
      done?.();
    }
  }

  /** The file's other names get what it has now. What fails is made good by the next try to store its attributes. */
  async #propagate(inode: Inode): Promise<void> {
    if (inode.others === undefined) return;
    inode.attributesDirty = true;
    try {
      await propagate(this.#context, inode);
    } catch (error) {
      // Nobody's data is in question, as it is when the file's own object was replaced.
      throw new DriverError(
        isFault(error, "stale", "exists", "not_found") ? "conflict" : DriverError.from(error).fault,
        "a hard link was not updated",
        { cause: error },
      );
    }
    inode.attributesDirty = false;
  }

  /** The attributes that were set here will not be stored: the bucket's are the truth again. */
  forgetAttributes(inode: Inode): void {
    inode.attributes = undefined;
    inode.attributesDirty = false;
    if (inode.content?.dirty === undefined) this.#context.state.dropDirty(inode.node);
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
}

/** What a new version keeps of the one before. Tags are asked for by key, so only where that version stands under it. */
function keptHeaders({ version, parent, name }: Inode, key: string): ObjectHeaders | undefined {
  if (version?.headers.tagCount === undefined) return version?.headers;
  const { tagCount: _, ...headers } = version.headers;
  const object = parent?.directory?.get(name)?.object;
  return object?.key === key && object.etag === version.etag ? version.headers : headers;
}
