/**
 * Making a volume: a bucket, its configuration, and last its mark.
 *
 * Any step may be the last one before the process dies, so each leaves a state that the next call understands:
 *
 *     no bucket            -> make it
 *     bucket without mark  -> entirely empty: a predecessor of this call stopped half-way; configure and mark it
 *                             anything in it: somebody else's; refused, untouched
 *     bucket with mark     -> complete: same request, same answer; another one, refused
 *
 * So there is never a second bucket for a name, and nothing to clean up. Only a request that can never succeed (a store without
 * versioning) takes back the bucket that it has made itself.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { isEntirelyEmpty } from "./empty.ts";
import { type Marked, markTags, readMark, sameParameters, type VolumeMark, writeMark } from "./mark.ts";
import type { VolumeParameters } from "./parameters.ts";

export interface ProvisionRequest {
  readonly bucket: string;
  /** The region for the bucket's LocationConstraint. */
  readonly region: string | undefined;
  /** The mark of the volume that is asked for. */
  readonly mark: VolumeMark;
  /** CSI's capacity range: 0 means not given. */
  readonly limitBytes: number;
}

/**
 * Makes the volume, or finds that it is there; answers the mark that stands in its bucket. Faults: `exists` (the name is taken by
 * another volume, or the bucket by somebody else), `bad_argument` (the store cannot do what a parameter asks for), and S3's own.
 */
export async function provision(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  const found = await lookFor(admin, request.bucket, options);
  if (found.state === "unmarked") return adopt(admin, request, options);
  if (found.state !== "no-bucket" && found.state !== "hidden") return requireCompatible(found, request);
  // A bucket that another account has is refused here, with `exists`.
  const made = await admin.createBucket(request.bucket, { ...options, region: request.region });
  if (made === "created") return found.state === "no-bucket" ? completeOrTakeBack(admin, request, options) : adopt(admin, request, options);
  if (found.state === "hidden") throw found.error;
  // Just now it was missing: another process makes the same volume.
  const there = await readMark(admin, request.bucket, options);
  return there.state === "unmarked" ? adopt(admin, request, options) : requireCompatible(there, request);
}

/** `hidden`: whether there is a mark, or a bucket, may not be known. Some stores answer so for a bucket that does not exist. */
type Looked = Marked | { readonly state: "hidden"; readonly error: DriverError };

async function lookFor(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<Looked> {
  try {
    return await readMark(admin, bucket, options);
  } catch (thrown) {
    if (isFault(thrown, "denied")) return { state: "hidden", error: thrown };
    throw thrown;
  }
}

/** Takes an unmarked bucket, if there is nothing at all in it. */
async function adopt(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  if (!(await isEntirelyEmpty(admin, request.bucket, options))) {
    throw new DriverError(
      "exists",
      `bucket ${request.bucket} exists, is not empty and does not carry our mark: it belongs to somebody else and is left as it is`,
    );
  }
  return complete(admin, request, options);
}

/** What this call alone has made and can never finish goes again. Only for a bucket that was missing just before. */
async function completeOrTakeBack(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  try {
    return await complete(admin, request, options);
  } catch (thrown) {
    if (isFault(thrown, "bad_argument", "denied")) await admin.deleteBucket(request.bucket, options).catch(() => undefined);
    throw thrown;
  }
}

/** From a bucket to a volume. The mark comes last: it says that all is done. */
async function complete(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  await configure(admin, request, options);
  return requireCompatible(await writeMark(admin, request.bucket, request.mark, options), request);
}

async function configure(admin: BucketAdmin, { bucket, mark }: ProvisionRequest, options: CallOptions): Promise<void> {
  const { versioning, tags } = mark.parameters;
  if (versioning === true) await enableVersioning(admin, bucket, options);
  await setTags(admin, bucket, { ...tags, ...markTags(mark.driver, mark.volumeId) }, tags !== undefined, options);
}

/** Reads back: a store may take the call and do nothing, or take it for another one (s3rver: for making the bucket, which exists). */
async function enableVersioning(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<void> {
  try {
    await admin.setVersioning(bucket, "Enabled", options);
    if ((await admin.getVersioning(bucket, options)) === "Enabled") return;
  } catch (thrown) {
    if (!isFault(thrown, "not_implemented", "unsupported", "exists")) throw thrown;
  }
  throw new DriverError("bad_argument", `parameter versioning: the store at ${admin.name} has no versioning`);
}

/** Our own tags are a help, no need; the user's were asked for. */
async function setTags(
  admin: BucketAdmin,
  bucket: string,
  tags: Readonly<Record<string, string>>,
  required: boolean,
  options: CallOptions,
): Promise<void> {
  try {
    await admin.setTags(bucket, { ...(await admin.getTags(bucket, options)), ...tags }, options);
  } catch (thrown) {
    const missing = isFault(thrown, "not_implemented", "unsupported");
    if (!missing && !(isFault(thrown, "denied") && !required)) throw thrown;
    if (required) throw new DriverError("bad_argument", `parameter tags: the store at ${admin.name} has no bucket tags`, { cause: thrown });
  }
}

/** The specification's rule for a name that is known: same parameters and a size within the asked range, else ALREADY_EXISTS. */
function requireCompatible(found: Marked, { bucket, mark, limitBytes }: ProvisionRequest): VolumeMark {
  if (found.state !== "marked") {
    const reason = found.state === "unreadable" ? `its mark cannot be used: ${found.reason}` : "its mark vanished while it was made";
    throw new DriverError(found.state === "unreadable" ? "exists" : "conflict", `bucket ${bucket}: ${reason}`);
  }
  const there = found.mark;
  const differs = (what: string) =>
    new DriverError("exists", `volume ${JSON.stringify(mark.volumeName)} exists in bucket ${bucket} with ${what}`);
  if (there.driver !== mark.driver) throw differs(`another driver's mark (${there.driver})`);
  if (there.volumeName !== mark.volumeName) throw differs(`another volume's mark (${there.volumeName})`);
  if (!sameParameters(there.parameters, mark.parameters))
    throw differs(`other parameters (${namesThatDiffer(there.parameters, mark.parameters)})`);
  if (there.volumeId !== mark.volumeId) throw differs(`another volume id (${there.volumeId})`);
  if (there.capacityBytes < mark.capacityBytes || (limitBytes > 0 && there.capacityBytes > limitBytes)) {
    throw differs(
      `another size: ${there.capacityBytes} bytes, asked for ${mark.capacityBytes}${limitBytes > 0 ? ` to ${limitBytes}` : " or more"}`,
    );
  }
  return there;
}

function namesThatDiffer(a: VolumeParameters, b: VolumeParameters): string {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])] as (keyof VolumeParameters)[];
  return names.filter((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name])).join(", ");
}
