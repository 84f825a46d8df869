/**
 * `Uploads`: when dirty files go to the bucket, and keeping at it when the store fails.
 *
 * With `durability=remote` close(2) waits for the upload and hears how it went. With `durability=local` what is closed waits in the
 * spool for a moment (upload-queue.ts), and so do changed attributes; fsync(2) and the end of the mount wait for the bucket either way.
 * A failed upload stays in the spool and is tried again until it works. How one upload goes is sending.ts's matter.
 */

import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { recordDirty } from "./content-opening.ts";
import type { VfsContext } from "./context.ts";
import type { Inode } from "./inode.ts";
import type { Sending } from "./open-content.ts";
import { findOwnVersion } from "./own-version.ts";
import { Sender } from "./sending.ts";
import { UploadQueue } from "./upload-queue.ts";

/** Uploads at once when everything is to be sent; their bytes are bounded by the uploader. */
const PARALLEL = 64;

export class Uploads {
  readonly #context: VfsContext;
  readonly #sender: Sender;
  /** Files and attributes that are sent without anybody waiting. */
  readonly #queue: UploadQueue<Inode>;
  #retire: (inode: Inode) => Promise<void> = async () => undefined;

  constructor(context: VfsContext) {
    const { uploadDelays, unsentLimitBytes } = context.options;
    this.#context = context;
    this.#sender = new Sender(context);
    this.#queue = new UploadQueue<Inode>({
      send: (inode) => this.#sendLater(inode),
      bytesOf: (inode) => inode.content?.dirty?.stat().size ?? 0,
      onFailing: (waiting, failure) => context.onUploads?.(waiting, failure),
      delays: uploadDelays,
      limitBytes: unsentLimitBytes,
    });
  }

  /** What to do with a closed file once its upload went through. */
  onRetried(retire: (inode: Inode) => Promise<void>): void {
    this.#retire = retire;
  }

  get #isLocal(): boolean {
    return this.#context.options.durability === "local";
  }

  /** True when closing or syncing the file has something to send. */
  isDue(inode: Inode): boolean {
    const { content, detached, superseded } = inode;
    if (content?.sending !== undefined) return true;
    if (content?.dirty === undefined) return !detached && isOnlyAttributes(inode);
    // What is written to a file that was removed here dies with it; one that was replaced elsewhere must not lose it silently.
    return superseded ? content.dirty.changed() : !detached && inode.local;
  }

  /** Brings the file into the bucket if it is due. Under the inode's lock. */
  async upload(inode: Inode): Promise<void> {
    await this.finishSending(inode);
    const sending = await this.#begin(inode);
    await sending?.finish();
  }

  /** The same for fsync(2), and for close(2) where that waits: tells also what an upload found that nobody waited for. */
  async sync(inode: Inode): Promise<void> {
    await this.upload(inode);
    this.tellRefusal(inode);
  }

  /** True when nobody has to wait for this file's upload: with `durability=local`. What is due is sent soon. */
  defer(inode: Inode): boolean {
    if (!this.#isLocal) return false;
    if (!this.isDue(inode)) return true;
    const { content } = inode;
    if (content !== undefined && !content.closed) {
      content.closed = true;
      recordDirty(this.#context, inode);
    }
    this.#queue.add(inode);
    return true;
  }

  /** Throws what an upload found that nobody waited for: once. */
  tellRefusal({ content }: Inode): void {
    const refusal = content?.refusal;
    if (content === undefined || refusal === undefined) return;
    content.refusal = undefined;
    throw refusal;
  }

  /** Waits while the spool holds more than it should. Under no lock: what makes room needs them. */
  room(): Promise<void> {
    return this.#queue.room();
  }

  /** Waits for an upload that is under way, and takes in how it went. Under the inode's lock. */
  async finishSending(inode: Inode): Promise<void> {
    await inode.content?.sending?.finish().catch((error: unknown) => this.#noteRefusal(inode, error));
  }

  /** The same, and what is not sent yet need not be: the file is removed, or goes elsewhere. */
  abandonSending(inode: Inode): Promise<void> {
    inode.content?.sending?.cancel();
    return this.finishSending(inode);
  }

  /**
   * Before the file gets another key, under its lock: nothing is under way, and what has an object has all of it there. It could go to
   * the new key at once; but a successor that is asked for the same rename again would then take the old object for the file.
   */
  async beforeMove(inode: Inode): Promise<void> {
    if (inode.version) await this.upload(inode);
    else await this.abandonSending(inode);
  }

  /** Before a directory above gets another name, under the file's lock. What nobody waits for goes along unsent. */
  async beforeParentMoves(inode: Inode): Promise<void> {
    if (!this.#isLocal) return this.upload(inode);
    await this.abandonSending(inode);
    if (isOnlyAttributes(inode)) await this.#store(inode);
  }

  /** Runs the request that removes the file's object, under its lock. Should it be the last, a successor knows why the object is gone. */
  async removing(inode: Inode, request: () => Promise<void>): Promise<void> {
    const { content } = inode;
    const note = (removing: boolean) => {
      if (content?.dirty === undefined) return;
      content.removing = removing;
      recordDirty(this.#context, inode);
    };
    note(true);
    try {
      await request();
    } catch (error) {
      note(false);
      throw error;
    }
  }

  /** True for a file that takes another name without a request: all of it is here, and nobody waits for its upload. */
  movesUnsent(inode: Inode): boolean {
    return !inode.version && (this.#isLocal || (inode.content?.writers ?? 0) > 0);
  }

  /** What a request of ours may have left under the inode's key, or what is known to be there. Undefined: nothing. */
  async objectOf(inode: Inode, key: string): Promise<Etag | undefined> {
    const { content, version } = inode;
    const sent = content?.sent ?? [];
    const own = sent.length === 0 ? undefined : await findOwnVersion(this.#context.store, key, sent);
    return own?.etag ?? content?.dirty?.leftAt(key) ?? version?.etag;
  }

  /** The file is gone: nothing of it is sent, and its local content goes when nobody has it open. Not under its lock. */
  async forget(inode: Inode): Promise<void> {
    this.#queue.remove(inode);
    await this.#retire(inode);
  }

  /** A closed file could not be uploaded: try again later, and again. */
  retryLater(inode: Inode, failure: unknown): void {
    this.#queue.addFailed(inode, DriverError.from(failure));
  }

  /** What a predecessor left to be sent, nobody waiting for it. */
  sendSoon(inode: Inode): void {
    this.#queue.add(inode);
  }

  /** Lets a new file's parts go to the bucket while it is being written: not where nobody waits for the end, and the name may change. */
  sendAhead(inode: Inode): void {
    if (!this.#isLocal) this.#sender.sendAhead(inode, () => !inode.superseded && this.isDue(inode));
  }

  /** After the bucket took a new version of the inode: directory, attribute cache and validity follow. */
  settle(inode: Inode, key: string): void {
    this.#sender.settle(inode, key);
  }

  /** Brings changed attributes, which the inode has already, to its object: now, or soon where nobody waits. Under the inode's lock. */
  async storeAttributes(inode: Inode): Promise<void> {
    if (!this.#isLocal) return this.#store(inode);
    recordDirty(this.#context, inode);
    this.#queue.add(inode);
  }

  async #store(inode: Inode): Promise<void> {
    try {
      await this.#sender.storeAttributes(inode);
    } catch (error) {
      const isGone = isFault(error, "not_found", "stale");
      // Who waits for it is told, and it is as if it had not been; who does not must not find it undone later.
      if (!this.#isLocal || isGone) this.#sender.forgetAttributes(inode);
      if (this.#isLocal && isGone) {
        this.#context.log.warn({ name: inode.name }, "the object was changed elsewhere; attributes that were set here are lost");
      }
      throw isFault(error, "not_found") ? new DriverError("stale", `${inode.name} was removed elsewhere`, { cause: error }) : error;
    }
  }

  /** Uploads all that is due; throws the first failure after trying every file. */
  async all(): Promise<void> {
    await this.#uploadEach(this.#context.inodes.all());
    // What was sent already has its local state still.
    await this.#queue.underWay();
    for (const inode of this.#queue.items()) await this.letGo(inode);
  }

  /** The same for the files of one directory, and those alone. */
  allIn(directory: Inode): Promise<void> {
    return this.#uploadEach([...(directory.directory?.children.values() ?? [])].flatMap(({ inode }) => inode ?? []));
  }

  stop(): void {
    this.#queue.stop();
  }

  async #uploadEach(inodes: Iterable<Inode>): Promise<void> {
    const due = [...inodes].filter((inode) => this.isDue(inode)).values();
    const failures: unknown[] = [];
    const work = async () => {
      for (const inode of due) await this.#uploadOne(inode).catch((error: unknown) => failures.push(error));
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    if (failures.length > 0) throw failures[0];
  }

  async #uploadOne(inode: Inode): Promise<void> {
    try {
      await this.#context.namespace.shared(() => inode.lock.run(() => this.upload(inode)));
    } catch (error) {
      if (inode.detached) await this.letGo(inode);
      throw error;
    }
    await this.letGo(inode);
  }

  /** One turn of the queue's. */
  async #sendLater(inode: Inode): Promise<void> {
    const { namespace, log } = this.#context;
    const locked = <T>(section: () => Promise<T>) => namespace.shared(() => inode.lock.run(section));
    let sending: Sending | undefined;
    try {
      sending = await locked(async () => {
        await this.finishSending(inode);
        return this.#begin(inode);
      });
      await sending?.transferred;
      await locked(async () => sending?.finish());
    } catch (error) {
      this.#noteRefusal(inode, error);
      log.debug({ name: inode.name, error: DriverError.from(error) }, "a try to upload failed");
      if (this.isDue(inode) && !sending?.isCancelled) throw error;
    }
    await this.letGo(inode);
    // Changed again meanwhile.
    if (this.isDue(inode)) this.#queue.add(inode);
  }

  /** Begins what is due, or does it where it is only attributes. Under the inode's lock, with nothing under way. */
  async #begin(inode: Inode): Promise<Sending | undefined> {
    if (!this.isDue(inode)) return undefined;
    if (inode.superseded) throw this.#sender.putAside(inode);
    if (!isOnlyAttributes(inode)) return this.#sender.begin(inode);
    await this.#store(inode);
    return undefined;
  }

  /** Who has the file open hears of a conflict at the next close or fsync. */
  #noteRefusal({ detached, content }: Inode, error: unknown): void {
    if (detached && content !== undefined) content.refusal = DriverError.from(error);
  }

  /** A file of which nothing is left to send and that nobody has open needs no local state any more. Not under its lock. */
  async letGo(inode: Inode): Promise<void> {
    if (!this.isDue(inode)) this.#queue.remove(inode);
    await this.#retire(inode);
    if (inode.content === undefined) this.#context.inodes.release(inode);
  }
}

/** True when the object has the file's content, and not its attributes. */
function isOnlyAttributes({ kind, version, attributesDirty, content }: Inode): boolean {
  return kind !== "dir" && Boolean(version) && attributesDirty && !(content?.dirty?.changed() ?? false);
}
