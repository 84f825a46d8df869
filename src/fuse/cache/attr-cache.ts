/**
 * `AttrCache`: what HEAD told of object versions, kept on disk and validated by LIST alone. A LIST shows no user
 * metadata; asking HEAD for each entry is what makes `ls -l` slow everywhere.
 *
 * An entry is right while key, ETag and LastModified are the listed ones: a change of metadata alone (a copy onto itself)
 * keeps the ETag and moves LastModified.
 */
import type { Etag } from "#core/brand.ts";
import type { ObjectHeaders, UserMetadata } from "#s3/object-store.ts";

export interface CachedAttr {
  readonly etag: Etag;
  readonly size: number;
  /** Milliseconds; whole seconds when it came from HEAD. */
  readonly lastModified: number;
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
}

export interface AttrCache {
  /**
   * The entry, if it is of the listed version. LastModified agrees when both are the same second (HEAD has seconds, LIST may have
   * milliseconds), or, for an entry put with `fromPut`, within 1 s of the server's Date.
   */
  get(key: string, listed: { etag: Etag; lastModified: number; size: number }): CachedAttr | undefined;
  put(key: string, attr: CachedAttr, options?: { fromPut: boolean }): void;
  drop(key: string): void;
  close(): Promise<void>;
}
