/**
 * The settings of a volume's bucket. Each is read back: some stores take a call and do nothing, or take it for another one (s3rver takes
 * most for making the bucket, which exists). What a store lacks is refused by the parameter's name, not left out in silence.
 */
import { DriverError, isFault } from "#core/errors.ts";
import type { BucketAdmin, LifecycleRule } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { leastPrivilegePolicy, POLICY_SID } from "./bucket-policy.ts";
import { lifecycleRules } from "./lifecycle.ts";
import { markTags, type VolumeMark } from "./mark.ts";
import type { ParameterName } from "./parameters.ts";

/** One setting: made, and seen to be there. */
interface Setting {
  readonly parameter: ParameterName;
  /** What a store that does not have it has not. */
  readonly what: string;
  readonly make: () => Promise<void>;
  readonly isMade: () => Promise<boolean>;
}

/** Faults: `bad_argument` (the store lacks what a parameter asks for, or refuses it), and S3's own. May be done again. */
export async function configureBucket(admin: BucketAdmin, bucket: string, mark: VolumeMark, options: CallOptions): Promise<void> {
  for (const setting of settingsOf(admin, bucket, mark, options)) await apply(admin, setting);
  await tagBucket(admin, bucket, mark, options);
}

/** Who may come in stands first. */
function settingsOf(admin: BucketAdmin, bucket: string, { parameters }: VolumeMark, options: CallOptions): readonly Setting[] {
  const { publicAccessBlock, encryption, kmsKeyId, versioning, lifecycle, nodePrincipal } = parameters;
  const settings: (Setting | false | undefined)[] = [
    publicAccessBlock === true && {
      ...{ parameter: "publicAccessBlock", what: "public access block" },
      make: () => admin.setPublicAccessBlock(bucket, options),
      isMade: () => admin.getPublicAccessBlock(bucket, options),
    },
    encryption && encryptionSetting(admin, bucket, { algorithm: encryption === "SSE-KMS" ? "aws:kms" : "AES256", kmsKeyId }, options),
    versioning === true && {
      ...{ parameter: "versioning", what: "versioning" },
      make: () => admin.setVersioning(bucket, "Enabled", options),
      isMade: async () => (await admin.getVersioning(bucket, options)) === "Enabled",
    },
    lifecycle && lifecycleSetting(admin, bucket, lifecycleRules(lifecycle), options),
    nodePrincipal !== undefined && {
      ...{ parameter: "bucketPolicy", what: "bucket policies" },
      make: () => admin.setPolicy(bucket, leastPrivilegePolicy(bucket, nodePrincipal), options),
      isMade: async () => (await admin.getPolicy(bucket, options))?.includes(POLICY_SID) === true,
    },
  ];
  return settings.filter((setting) => setting !== false && setting !== undefined);
}

function encryptionSetting(
  admin: BucketAdmin,
  bucket: string,
  wanted: { readonly algorithm: "AES256" | "aws:kms"; readonly kmsKeyId: string | undefined },
  options: CallOptions,
): Setting {
  return {
    ...{ parameter: "encryption", what: `encryption by ${wanted.algorithm === "aws:kms" ? "a key management service" : "its own keys"}` },
    make: () => admin.setEncryption(bucket, wanted, options),
    isMade: async () => (await admin.getEncryption(bucket, options))?.algorithm === wanted.algorithm,
  };
}

/** A rule whose filter was lost would take the mark, or more than was asked for. */
function lifecycleSetting(admin: BucketAdmin, bucket: string, rules: readonly LifecycleRule[], options: CallOptions): Setting {
  return {
    ...{ parameter: "lifecycle", what: "lifecycle rules of this kind" },
    make: () => admin.setLifecycle(bucket, rules, options),
    isMade: async () => {
      const found = await admin.getLifecycle(bucket, options);
      return rules.every((rule) => found.some((other) => sameRule(rule, other)));
    },
  };
}

function sameRule(a: LifecycleRule, b: LifecycleRule): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof LifecycleRule>;
  return [...names].every((name) => a[name] === b[name]);
}

async function apply({ name }: BucketAdmin, { parameter, what, make, isMade }: Setting): Promise<void> {
  try {
    await make();
    if (await isMade()) return;
  } catch (thrown) {
    if (isFault(thrown, "bad_argument"))
      throw new DriverError("bad_argument", `parameter ${parameter}: the store refuses it: ${thrown.message}`, { cause: thrown });
    if (!isFault(thrown, "not_implemented", "unsupported", "exists")) throw thrown;
  }
  throw new DriverError("bad_argument", `parameter ${parameter}: the store at ${name} has no ${what}`);
}

/** Our own tags are a help, no need; the user's were asked for. */
async function tagBucket(admin: BucketAdmin, bucket: string, mark: VolumeMark, options: CallOptions): Promise<void> {
  const { tags } = mark.parameters;
  try {
    const all = { ...(await admin.getTags(bucket, options)), ...tags, ...markTags(mark.driver, mark.volumeId) };
    await admin.setTags(bucket, all, options);
  } catch (thrown) {
    const missing = isFault(thrown, "not_implemented", "unsupported");
    if (!missing && !(isFault(thrown, "denied") && tags === undefined)) throw thrown;
    if (tags !== undefined)
      throw new DriverError("bad_argument", `parameter tags: the store at ${admin.name} has no bucket tags`, { cause: thrown });
  }
}
