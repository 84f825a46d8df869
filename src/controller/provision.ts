/**
 * Making a volume. A bucket: the bucket, its settings, and last its mark. A prefix in a shared bucket: its mark, and nothing else.
 *
 * Any step may be the last one before the process dies, so each leaves a state that the next call understands:
 *
 *     no bucket           -> make it; a shared one is never made: refused
 *     place without mark  -> entirely empty: a predecessor of this call stopped half-way, or nobody was here yet; configure and mark it
 *                            anything in it: somebody else's; refused, untouched
 *     place with mark     -> complete: same request, same answer; another one, refused
 *
 * So there is never a second place for a name, and nothing to clean up. A request that can never succeed (a store without versioning, a
 * volume inside another) takes back what it has made itself.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import type { ProvisionRequest } from "./compatible.ts";
import { adopt, complete, keep } from "./complete.ts";
import { type Marked, readMark, type VolumeMark } from "./mark.ts";

/**
 * Makes the volume, or finds that it is there; answers the mark that stands in its place. Faults: `exists` (the name is taken by
 * another volume, or the place by somebody else), `bad_argument` (the store cannot do what a parameter asks for), `precondition` (the
 * shared bucket is not there), and S3's own.
 */
export async function provision(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  return request.place.prefix === "" ? provisionBucket(admin, request, options) : provisionPrefix(admin, request, options);
}

async function provisionBucket(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  const { bucket } = request.place;
  const found = await lookFor(admin, request, options);
  if (found.state === "unmarked") return adopt(admin, request, options);
  if (found.state !== "no-bucket" && found.state !== "hidden") return keep(admin, request, found, options);
  // A bucket that another account has is refused here, with `exists`.
  const made = await admin.createBucket(bucket, { ...options, region: request.region });
  if (made === "created") return found.state === "no-bucket" ? completeOrTakeBack(admin, request, options) : adopt(admin, request, options);
  if (found.state === "hidden") throw found.error;
  // Just now it was missing: another process makes the same volume.
  const there = await readMark(admin, request.place, options);
  return there.state === "unmarked" ? adopt(admin, request, options) : keep(admin, request, there, options);
}

async function provisionPrefix(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  const found = await readMark(admin, request.place, options);
  if (found.state === "no-bucket") {
    throw new DriverError(
      "precondition",
      `parameter bucket: there is no bucket ${request.place.bucket} at ${admin.name}; a shared bucket is not made by the driver`,
    );
  }
  return found.state === "unmarked" ? adopt(admin, request, options) : keep(admin, request, found, options);
}

/** `hidden`: whether there is a mark, or a bucket, may not be known. Some stores answer so for a bucket that does not exist. */
type Looked = Marked | { readonly state: "hidden"; readonly error: DriverError };

async function lookFor(admin: BucketAdmin, { place }: ProvisionRequest, options: CallOptions): Promise<Looked> {
  try {
    return await readMark(admin, place, options);
  } catch (thrown) {
    if (isFault(thrown, "denied")) return { state: "hidden", error: thrown };
    throw thrown;
  }
}

/** What this call alone has made and can never finish goes again. Only for a bucket that was missing just before. */
async function completeOrTakeBack(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  try {
    return await complete(admin, request, options);
  } catch (thrown) {
    if (isFault(thrown, "bad_argument", "denied")) await admin.deleteBucket(request.place.bucket, options).catch(() => undefined);
    throw thrown;
  }
}
