/**
 * What the supervisor (cli or node plugin) and its engine process say to each other.
 *
 * The engine is started as `bucketmount engine` with the kernel's descriptor as fd 3 and Node's IPC channel. Secrets
 * travel in the first message only: never in argv, never in the environment.
 *
 *   supervisor -> engine: EngineConfig once, then EngineRequest; engine -> supervisor: EngineReport
 *   exit code 0: the mount is gone and everything is uploaded; 3: data is left in the spool; other: crashed, start a successor
 */

import type { MountOptions } from "#core/options.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { StoreAccess, StoreConfig } from "#s3/store-config.ts";

export type { MountOptions } from "#core/options.ts";
export type { StoreAccess, StoreConfig } from "#s3/store-config.ts";

export interface EngineConfig {
  readonly store: StoreConfig;
  readonly options: MountOptions;
  /** The mounted directory, for messages only: the engine never touches it. */
  readonly mountPoint: string;
  /** Folder of this mount alone: content cache, spool, journal, attribute cache. */
  readonly stateDir: string;
  readonly cacheSizeBytes: number;
  /** True for a successor: the connection was initialised by a predecessor whose state is in stateDir. */
  readonly takeover: boolean;
  readonly logLevel: "error" | "warn" | "info" | "debug";
}

export type EngineRequest =
  /** Upload everything dirty and answer `flushed` with the same id. */
  | { readonly type: "flush"; readonly id: number }
  | { readonly type: "status"; readonly id: number }
  /** Go on with other keys, if the store takes them, and answer `done`. */
  | { readonly type: "credentials"; readonly id: number; readonly access: StoreAccess }
  /** Show everything to this group from now on, and answer `done`. */
  | { readonly type: "group"; readonly id: number; readonly group?: number | undefined };

export type EngineReport =
  /** INIT is answered (or the connection taken over): the mount works. */
  | { readonly type: "ready" }
  /** It never will: wrong bucket, key, endpoint. The engine exits after it. */
  | ({ readonly type: "failed" } & EngineFailure)
  | { readonly type: "flushed"; readonly id: number; readonly error?: string }
  | { readonly type: "status"; readonly id: number; readonly status: EngineStatus }
  /** `refused`: why it is not done; everything is as before. */
  | { readonly type: "done"; readonly id: number; readonly refused?: EngineFailure }
  /** Unasked: what is wrong with the mount, in the words of a person who can mend it, and when it is over. */
  | TroubleReport;

/** A DriverError, as it travels. */
export interface EngineFailure {
  readonly fault: string;
  readonly message: string;
  /** Of core/causes.ts, where it is known. */
  readonly cause?: string | undefined;
}

/** `bucketmount status --json` shows this per mount. */
export interface EngineStatus {
  readonly bucket: string;
  readonly prefix: string;
  readonly mountPoint: string;
  readonly pid: number;
  readonly startedAt: string;
  /** How many engines this connection has had before this one. */
  readonly takeovers: number;
  readonly passthrough: boolean;
  readonly dirtyFiles: number;
  readonly dirtyBytes: number;
  readonly openHandles: number;
  readonly inodes: number;
  readonly cache: {
    readonly bytes: number;
    readonly limitBytes: number;
    readonly files: number;
    readonly hits: number;
    readonly misses: number;
  };
  /** S3 requests by operation name: HeadObject, GetObject, ... */
  readonly requests: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly retries: number;
  readonly rssBytes: number;
  /** What the probe of the store found. */
  readonly store: Readonly<Record<string, boolean>>;
}
