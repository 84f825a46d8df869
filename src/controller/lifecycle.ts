/**
 * `lifecycle`: what a bucket does with old things by itself.
 *
 * Expiry must not take the ownership mark along, and S3's filters can only choose, not leave out. But they can choose by size: two rules,
 * for what is larger than the mark and for what is smaller, leave exactly objects of the mark's size alone. So the mark of such a bucket
 * is padded to a size that hardly any file has.
 */
import type { LifecycleRule } from "#s3/bucket-admin.ts";
import { ParameterRefusal } from "./parameter-refusal.ts";

/** In days; S3 knows no smaller unit. */
export interface Lifecycle {
  /** Delete objects so long after they were last written. */
  readonly expire?: number;
  /** Delete old versions so long after they were replaced. */
  readonly noncurrent?: number;
  /** End unfinished uploads so long after they began. */
  readonly "abort-uploads"?: number;
}

/** The size in bytes of the mark of a bucket whose objects expire, and so of files that do not: a prime well over any mark's own size. */
export const UNEXPIRING_BYTES = 10_007;

const NAMES: readonly string[] = ["expire", "noncurrent", "abort-uploads"] satisfies (keyof Lifecycle)[];

/** S3 takes any positive number; a century is a typing error. */
const MAX_DAYS = 36_500;

/** Throws a ParameterRefusal. */
export function parseLifecycle(value: string): Lifecycle {
  const rules: Record<string, number> = {};
  for (const item of value.split(",").map((text) => text.trim())) {
    const [, name = "", days = ""] = /^([a-z-]+)=(\d{1,5})d$/.exec(item) ?? [];
    if (!NAMES.includes(name))
      throw new ParameterRefusal(`${JSON.stringify(item)}; known: ${NAMES.join(", ")}, each with days such as 30d`);
    if (rules[name] !== undefined) throw new ParameterRefusal(`${name} twice`);
    rules[name] = Number(days);
    if (rules[name] < 1 || rules[name] > MAX_DAYS) throw new ParameterRefusal(`${name} must be 1 to ${MAX_DAYS} days`);
  }
  return rules;
}

/** The bucket's rules. Their ids say whose they are. */
export function lifecycleRules({ expire, noncurrent, "abort-uploads": abortUploads }: Lifecycle): readonly LifecycleRule[] {
  return [
    ...(expire === undefined
      ? []
      : [
          { id: "bucketmount-expire-larger", sizeOver: UNEXPIRING_BYTES, expireDays: expire },
          { id: "bucketmount-expire-smaller", sizeUnder: UNEXPIRING_BYTES, expireDays: expire },
        ]),
    // The delete markers that stay behind alone make every listing slower.
    ...(noncurrent === undefined ? [] : [{ id: "bucketmount-noncurrent", noncurrentDays: noncurrent, dropLoneMarkers: true }]),
    ...(abortUploads === undefined ? [] : [{ id: "bucketmount-abort-uploads", abortUploadsDays: abortUploads }]),
  ];
}
