/**
 * What a mount and another S3 client of its bucket may see of each other's changes, as docs/SEMANTICS.md has it under "Several hosts":
 * the model of fuzz-bucket.test.ts. The mount has `metadata_ttl=0`, so an open by path sees what stands in the bucket.
 *
 * A `Version` is what somebody put into the bucket, a `Content` is one file as those have it who opened it here. A content goes on being
 * what was opened, whatever happens to its name; when it is changed here, its upload must find the version in the bucket that it was made from.
 */
export interface Version {
  readonly bytes: Buffer;
}

export interface Content {
  bytes: Buffer;
  /** What it was made from; null where nothing stood under its name. Undefined once its name is no longer its own: refused from then on. */
  base: Version | null | undefined;
  dirty: boolean;
  /** Removed or replaced on this host: what is written to it dies with it. */
  unlinked: boolean;
  /** O_EXCL made it, and it is not in the bucket yet. */
  exclusive: boolean;
  /** The version that it was opened as may be needed and gone: what is left here is less than the file. */
  incomplete: boolean;
  handles: number;
}

export interface Handle {
  readonly name: string;
  readonly content: Content;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Its close brings what is unsent into the bucket: it may write, or has truncated. */
  readonly sends: boolean;
}

export class BucketModel {
  readonly bucket = new Map<string, Version>();
  /** The content that an open by name joins: of files that are open here. */
  readonly live = new Map<string, Content>();
  /** Data of writers that were refused. */
  readonly conflicts: { readonly bytes: Buffer; readonly incomplete: boolean }[] = [];

  put(name: string, bytes: Buffer): Version {
    const version = { bytes };
    this.bucket.set(name, version);
    return version;
  }

  /** True when the name means another version by now than the one that the content was made from. */
  isStale(name: string, content: Content): boolean {
    return content.unlinked || this.live.get(name) !== content || content.base !== (this.bucket.get(name) ?? null);
  }

  /** True when what an open of the name gives is not settled: unsent changes here, and another version there. */
  isDisputed(name: string): boolean {
    const content = this.live.get(name);
    return content?.dirty === true && this.isStale(name, content);
  }

  /** What an open gives that finds nobody in dispute; undefined for nothing. */
  found(name: string): Content | undefined {
    const content = this.live.get(name);
    if (content !== undefined && !this.isStale(name, content)) return content;
    const version = this.bucket.get(name);
    return version === undefined ? undefined : this.#content(version.bytes, version);
  }

  created(exclusive: boolean): Content {
    return { ...this.#content(Buffer.alloc(0), null), dirty: true, exclusive };
  }

  #content(bytes: Buffer, base: Version | null): Content {
    return { bytes, base, dirty: false, unlinked: false, exclusive: false, incomplete: false, handles: 0 };
  }

  /** From now on the name leads to this content; who had another one under it keeps that, and is refused. */
  bind(name: string, content: Content): void {
    const before = this.live.get(name);
    if (before !== undefined && before !== content) before.base = undefined;
    this.live.set(name, content);
    content.handles += 1;
  }

  release(name: string, content: Content): void {
    content.handles -= 1;
    if (content.handles === 0 && this.live.get(name) === content) this.live.delete(name);
  }

  /** What must come of bringing the content into the bucket, and what does. `obeys`: the store takes conditions. */
  outcomesOfSync(name: string, content: Content, obeys: boolean): readonly string[] {
    if (!content.dirty || content.unlinked || !this.#isRefused(name, content)) return ["ok"];
    return obeys ? ["ESTALE"] : ["ESTALE", "ok"];
  }

  /** A file that two create at one time is the last one's, but for O_EXCL. */
  #isRefused(name: string, content: Content): boolean {
    if (content.base === null) return content.exclusive && this.bucket.has(name);
    return this.isStale(name, content);
  }

  synced(name: string, content: Content, result: string): void {
    if (!content.dirty || content.unlinked) return;
    content.dirty = false;
    if (result === "ESTALE") {
      this.conflicts.push({ bytes: content.bytes, incomplete: content.incomplete });
      content.base = undefined;
      if (this.live.get(name) === content) this.live.delete(name);
    } else {
      content.base = this.put(name, content.bytes);
      content.exclusive = false;
    }
  }

  unlinked(name: string): void {
    const content = this.live.get(name);
    // One that was opened before the name meant another version is not what is removed here.
    if (content !== undefined && this.isStale(name, content)) content.base = undefined;
    else if (content !== undefined) content.unlinked = true;
    this.live.delete(name);
    this.bucket.delete(name);
  }

  /** Of a name whose content has no unsent changes. Returns the content that is open under the new name from now on. */
  renamed(name: string, to: string): Content | undefined {
    const version = this.bucket.get(name);
    const content = this.live.get(name);
    if (name === to || version === undefined) return undefined;
    const moves = content !== undefined && !this.isStale(name, content);
    this.unlinked(to);
    this.bucket.delete(name);
    this.live.delete(name);
    const moved = this.put(to, version.bytes);
    // One that was opened before the name meant another version is not what is renamed here.
    if (content !== undefined) content.base = moves ? moved : undefined;
    if (!moves) return undefined;
    this.live.set(to, content);
    return content;
  }
}
