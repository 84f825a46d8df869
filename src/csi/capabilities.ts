/** What kinds of use a volume can have. Any bucket can be mounted anywhere and often: only raw blocks and a promise nobody keeps are refused. */
import { DriverError } from "#core/errors.ts";
import type { AccessMode, VolumeCapability } from "./messages.ts";
import { requireMessage } from "./validate.ts";

interface AccessModeRow {
  /** May several nodes have it at once. */
  readonly nodes: "one" | "many";
  /** May it be written; a `false` forces a read-only mount. */
  readonly writes: boolean;
  /** May several targets on one node have it at once. */
  readonly targets: "one" | "many";
}

export const ACCESS_MODES = {
  SINGLE_NODE_WRITER: { nodes: "one", writes: true, targets: "many" },
  SINGLE_NODE_READER_ONLY: { nodes: "one", writes: false, targets: "many" },
  SINGLE_NODE_SINGLE_WRITER: { nodes: "one", writes: true, targets: "one" },
  SINGLE_NODE_MULTI_WRITER: { nodes: "one", writes: true, targets: "many" },
  MULTI_NODE_READER_ONLY: { nodes: "many", writes: false, targets: "many" },
  MULTI_NODE_MULTI_WRITER: { nodes: "many", writes: true, targets: "many" },
} as const satisfies Partial<Record<AccessMode, AccessModeRow>>;

export type SupportedAccessMode = keyof typeof ACCESS_MODES;

/** A capability that was checked. */
export interface MountCapability {
  readonly mode: SupportedAccessMode;
  readonly readOnly: boolean;
  readonly mountFlags: readonly string[];
  /** fsGroup; undefined when not asked for. */
  readonly volumeMountGroup?: string;
}

/**
 * The capability in our terms. `field` is its name in the request. Faults, both INVALID_ARGUMENT: a part is missing; it asks for
 * what no volume of ours can do (raw block, MULTI_NODE_SINGLE_WRITER, a mode of a later specification).
 */
export function checkCapability(capability: VolumeCapability | null | undefined, field = "volume_capability"): MountCapability {
  const { accessType, block, mount, accessMode } = requireMessage(capability, field);
  if (accessType === "block" || (block && !mount)) {
    throw new DriverError(
      "bad_argument",
      `${field}: raw block volumes are not supported: a bucket holds files; ask for volumeMode: Filesystem`,
    );
  }
  const { mountFlags, volumeMountGroup } = requireMessage(mount, `${field}.mount (access_type)`);
  const mode = checkMode(requireMessage(accessMode, `${field}.access_mode`).mode, field);
  return { mode, readOnly: !ACCESS_MODES[mode].writes, mountFlags, ...(volumeMountGroup ? { volumeMountGroup } : {}) };
}

function checkMode(mode: AccessMode | number, field: string): SupportedAccessMode {
  if (mode === "UNKNOWN") throw new DriverError("bad_argument", `${field}.access_mode.mode is missing`);
  if (typeof mode === "string" && Object.hasOwn(ACCESS_MODES, mode)) return mode as SupportedAccessMode;
  const reason = mode === "MULTI_NODE_SINGLE_WRITER" ? ": nothing would keep a second node from writing" : "";
  throw new DriverError(
    "bad_argument",
    `${field}: access mode ${mode} is not supported${reason}; known: ${Object.keys(ACCESS_MODES).join(", ")}`,
  );
}

/** Why the capability cannot be had, or undefined when it can. A malformed one throws. */
export function refusalOf(capability: VolumeCapability): string | undefined {
  if (capability.accessMode == null) throw new DriverError("bad_argument", "volume_capabilities.access_mode is missing");
  if (!capability.mount && !capability.block) throw new DriverError("bad_argument", "volume_capabilities.access_type is missing");
  try {
    checkCapability(capability, "volume_capabilities");
    return undefined;
  } catch (thrown) {
    return DriverError.from(thrown).message;
  }
}
