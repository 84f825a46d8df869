/** What `status` says of one mount, in JSON and as text. */
import type { EngineStatus } from "#fuse/engine/protocol.ts";

/**
 * serving: all is well. restarting: the engine crashed and a successor comes up. ending: unmounted, the rest is uploaded.
 * unsupervised: the engine serves, but nobody would restart it. dead: mounted, and no process serves it.
 */
export type MountState = "serving" | "restarting" | "ending" | "unsupervised" | "dead";

/** One element of `status --json`: EngineStatus's fields are absent while no engine answers. */
export interface MountStatus extends Partial<EngineStatus> {
  readonly mountPoint: string;
  readonly source: string;
  readonly state: MountState;
  readonly supervisorPid?: number;
  readonly restarts?: number;
  readonly stateDir: string;
  readonly logFile?: string;
  /** Why the engine's fields are absent. */
  readonly problem?: string;
}
