/** The last steps to a volume: from an empty place, or from a mark that is there. */
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

/** Takes an unmarked place, if there is nothing at all in it. */
export async function adopt(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
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

/** From a place to a volume. The mark comes last: it says that all is done. */
export async function complete(admin: BucketAdmin, request: ProvisionRequest, options: CallOptions): Promise<VolumeMark> {
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
export async function keep(admin: BucketAdmin, request: ProvisionRequest, found: Marked, options: CallOptions): Promise<VolumeMark> {
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
