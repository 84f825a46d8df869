/** The Controller service's messages, as far as this driver reads or answers them. */
import type { CapacityRange, StringMap, VolumeCapability } from "#csi/messages.ts";

export interface CreateVolumeRequest {
  readonly name: string;
  readonly capacityRange: CapacityRange | null;
  readonly volumeCapabilities: readonly VolumeCapability[];
  readonly parameters: StringMap;
  readonly secrets: StringMap;
  readonly volumeContentSource: { readonly type?: "snapshot" | "volume" } | null;
  readonly mutableParameters: StringMap;
}

export interface Volume {
  readonly capacityBytes: number;
  readonly volumeId: string;
  readonly volumeContext: StringMap;
}

export interface DeleteVolumeRequest {
  readonly volumeId: string;
  readonly secrets: StringMap;
}

export interface ValidateVolumeCapabilitiesRequest {
  readonly volumeId: string;
  readonly volumeContext: StringMap;
  readonly volumeCapabilities: readonly VolumeCapability[];
  readonly parameters: StringMap;
  readonly secrets: StringMap;
  readonly mutableParameters: StringMap;
}

export interface ValidateVolumeCapabilitiesResponse {
  /** Only when everything asked holds. */
  readonly confirmed?: {
    readonly volumeContext: StringMap;
    readonly volumeCapabilities: readonly VolumeCapability[];
    readonly parameters: StringMap;
    readonly mutableParameters: StringMap;
  };
  readonly message: string;
}
