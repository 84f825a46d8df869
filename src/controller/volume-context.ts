/** What the node needs to find a volume, as attributes of its PersistentVolume. Never credentials: those are no secret. */
import type { StringMap } from "#csi/messages.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";
import type { VolumeMark } from "./mark.ts";
import type { Place } from "./place.ts";

/** The names are those of `volumeAttributes` that a person writes for a static volume. */
export function volumeContextOf(
  { bucket, prefix }: Place,
  mark: VolumeMark,
  { endpoint, region, pathStyle }: BucketAdminConfig,
): StringMap {
  const { storageClass } = mark.parameters;
  return {
    bucket,
    ...(prefix === "" ? {} : { prefix }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(pathStyle === undefined ? {} : { pathStyle: String(pathStyle) }),
    ...(storageClass === undefined ? {} : { storageClass }),
  };
}

/** What an orchestrator's `volume_context` says of where the bucket is; undefined when it names none. For volumes that we did not make. */
export function staticStoreOf(context: StringMap):
  | {
      readonly bucket: string;
      readonly endpoint?: string | undefined;
      readonly region?: string | undefined;
      readonly pathStyle?: boolean | undefined;
    }
  | undefined {
  const { bucket, endpoint, region, pathStyle } = context;
  if (bucket === undefined || bucket === "") return undefined;
  return { bucket, endpoint, region, pathStyle: pathStyle === undefined ? undefined : pathStyle === "true" };
}
