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
import { type ProvisionRequest, requireCompatible } from "./compatible.ts";
import { configureBucket } from "./configure.ts";
import { isEntirelyEmpty } from "./empty.ts";
import { type Marked, readMark, type VolumeMark, writeMark } from "./mark.ts";
import { nestingAt } from "./nesting.ts";
import { nameOf } from "./place.ts";
import { deleteMark, isOwn } from "./sweep.ts";

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

/** Takes an unmarked place, if there is nothing at all in it. */
async function adopt(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  const nested = await nestingError(admin, request, options);
  if (nested !== undefined) throw nested;
  if (!(await isEntirelyEmpty(admin, request.place, options))) {
    // What is in it may be the mark that another process has just written.
    const there = await readMark(admin, request.place, options);
    if (there.state !== "unmarked") return keep(admin, request, there, options);
    throw new DriverError(
      "exists",
      `${nameOf(request.place)} exists, is not empty and does not carry our mark: it belongs to somebody else and is left as it is`,
    );
  }
  return complete(admin, request, options);
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

/** From a place to a volume. The mark comes last: it says that all is done. */
async function complete(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
  const { place, mark } = request;
  if (place.prefix === "") await configureBucket(admin, place.bucket, mark, options);
  let written: Marked;
  try {
    written = await writeMark(admin, place, mark, options);
  } catch (thrown) {
    throw withParameter(thrown, mark);
  }
  return keep(admin, request, written, options);
}

/** Names the parameter that makes the store refuse our mark. */
function withParameter(thrown: unknown, { parameters: { storageClass, nodePrincipal } }: VolumeMark): unknown {
  if (storageClass !== undefined && isFault(thrown, "bad_argument"))
    return new DriverError("bad_argument", `parameter storageClass: the store refuses it: ${thrown.message}`, { cause: thrown });
  if (nodePrincipal === undefined || !isFault(thrown, "denied")) return thrown;
  const hint = "parameter nodePrincipal must not be the controller's own account, which its policy would keep from writing the mark";
  return new DriverError("denied", `${hint}: ${thrown.message}`, { context: thrown.context, cause: thrown });
}

/** The volume that its mark says is complete, unless it cannot be one: then the mark goes again, as long as nothing was written. */
async function keep(admin: BucketAdmin, request: ProvisionRequest, found: Marked, options: CallOptions): Promise<VolumeMark> {
  const mark = requireCompatible(found, request);
  const obstacle = otherStorageClass(admin, found, mark) ?? (await nestingError(admin, request, options));
  if (obstacle === undefined) return mark;
  await withdraw(admin, request, options);
  throw obstacle;
}

/** Some stores take any storage class and use their own. */
function otherStorageClass({ name }: BucketAdmin, found: Marked, { parameters }: VolumeMark): DriverError | undefined {
  const kept = (found.state === "marked" ? found.storageClass : undefined) ?? "STANDARD";
  if (parameters.storageClass === undefined || kept === parameters.storageClass) return undefined;
  return new DriverError(
    "bad_argument",
    `parameter storageClass: the store at ${name} keeps files as ${kept}, not ${parameters.storageClass}`,
  );
}

async function nestingError(admin: BucketAdmin, { place }: ProvisionRequest, options: CallOptions): Promise<DriverError | undefined> {
  const nested = await nestingAt(admin, place, options);
  return nested === undefined ? undefined : new DriverError("exists", nested);
}

/** Deletes the mark of a volume that nobody has written to. Its bucket goes where this call has made it. */
async function withdraw(admin: BucketAdmin, { place }: ProvisionRequest, options: CallOptions): Promise<void> {
  const { items, next } = await admin.listKeys(place.bucket, { prefix: place.prefix }, options);
  if (next === undefined && items.every((key) => isOwn(place, key))) await deleteMark(admin, place, options);
}
