/** The messages that more than one service uses, as load.ts makes them. Each service keeps its own requests beside itself. */

export type StringMap = Readonly<Record<string, string>>;

export type AccessMode =
  | "UNKNOWN"
  | "SINGLE_NODE_WRITER"
  | "SINGLE_NODE_READER_ONLY"
  | "MULTI_NODE_READER_ONLY"
  | "MULTI_NODE_SINGLE_WRITER"
  | "MULTI_NODE_MULTI_WRITER"
  | "SINGLE_NODE_SINGLE_WRITER"
  | "SINGLE_NODE_MULTI_WRITER";

/** As it arrives: any part may be missing, and a newer orchestrator may send modes that we do not know (as numbers). */
export interface VolumeCapability {
  readonly accessType?: "block" | "mount";
  readonly block?: object | null;
  readonly mount?: { readonly fsType: string; readonly mountFlags: readonly string[]; readonly volumeMountGroup: string } | null;
  readonly accessMode?: { readonly mode: AccessMode | number } | null;
}

export interface CapacityRange {
  readonly requiredBytes: number;
  readonly limitBytes: number;
}
