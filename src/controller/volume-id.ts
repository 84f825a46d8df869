/**
 * A volume id names the bucket and how to reach it, and nothing else is needed to find the volume again: DeleteVolume
 * gets the id alone.
 *
 *     v1:pvc-0c2b6f6e                                          in the driver's default store
 *     v1:pvc-0c2b6f6e+region=eu-central-1                      with what the StorageClass said
 *     v1:pvc-0c2b6f6e+endpoint=https://minio.example:9000
 */
import type { VolumeId } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import { isBucketName } from "./bucket-name.ts";

/** The specification's limit for an id. */
const MAX_BYTES = 128;

/** Where a volume is. What is undefined is as the secrets or the driver's defaults say. */
export interface VolumeLocation {
  readonly bucket: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
}

/** In this order, so that one location has one id. */
const SETTINGS = ["endpoint", "region", "pathStyle"] as const;

/** Fault `bad_argument` when a setting has a "+" in it, which parts settings, or when the id would be longer than CSI allows: then the endpoint belongs into the secret. */
export function encodeVolumeId(location: VolumeLocation): VolumeId {
  const settings = SETTINGS.flatMap((name) => (location[name] === undefined ? [] : [`+${name}=${location[name]}`]));
  if (settings.some((setting) => setting.includes("+", 1)))
    throw new DriverError("bad_argument", `no "+" may stand in ${settings.join(" ")}`);
  const id = `v1:${location.bucket}${settings.join("")}`;
  if (Buffer.byteLength(id) > MAX_BYTES) {
    throw new DriverError(
      "bad_argument",
      `the volume id ${id} would be over ${MAX_BYTES} bytes; give the endpoint in the secret, not as a parameter`,
    );
  }
  return id as VolumeId;
}

/** The location, or undefined for what encodeVolumeId never made: such a volume does not exist. */
export function decodeVolumeId(id: string): VolumeLocation | undefined {
  const [head = "", ...settings] = id.split("+");
  const bucket = head.startsWith("v1:") ? head.slice("v1:".length) : "";
  if (!isBucketName(bucket)) return undefined;
  const values = Object.fromEntries(
    settings.map((setting) => [setting.slice(0, setting.indexOf("=")), setting.slice(setting.indexOf("=") + 1)]),
  );
  const location: VolumeLocation = {
    bucket,
    endpoint: values.endpoint,
    region: values.region,
    pathStyle: values.pathStyle === undefined ? undefined : values.pathStyle === "true",
  };
  return encodesTo(location, id) ? location : undefined;
}

/** One location, one id: settings in another order, twice, or with values of another form are no ids of ours. */
function encodesTo(location: VolumeLocation, id: string): boolean {
  return Buffer.byteLength(id) <= MAX_BYTES && encodeVolumeId(location) === id;
}
