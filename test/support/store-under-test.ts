/** What the `ObjectStore` contract needs to know of the store that it runs on. */
import type { ObjectStore } from "#s3/object-store.ts";
import type { StoreAbilities } from "#s3/probe.ts";
import type { ObjectTagging } from "./object-tagging.ts";

/** A store under test. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** A second client of the same bucket, which the suite may close. */
  readonly another: () => ObjectStore;
  readonly tagging: ObjectTagging;
  readonly stop: () => Promise<void>;
}

/** What this store is known not to do; each with its reason where it is listed. */
export interface StoreTraits {
  readonly abilities: StoreAbilities;
  /** Keys that the server changes or refuses. */
  readonly refusedKeys: readonly string[];
  /** A delimiter's prefixes count as entries of a page. */
  readonly countsPrefixes: boolean;
  /** Metadata may hold Unicode. */
  readonly unicodeMetadata: boolean;
  /** A directory's empty object can be copied. */
  readonly copiesMarkers: boolean;
  /** AbortMultipartUpload is there, and an upload that it ended is not_found afterwards. */
  readonly abort: boolean;
  /** Objects may have tags, and HEAD counts them. */
  readonly tags: boolean;
}

/** What each part of the suite is given. */
export interface Suite {
  readonly store: () => ObjectStore;
  readonly another: () => ObjectStore;
  readonly tagging: () => ObjectTagging;
  readonly traits: StoreTraits;
}
