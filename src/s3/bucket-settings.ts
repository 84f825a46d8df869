/** `BucketSettings` on the AWS SDK: versions, tags, encryption, lifecycle, public access, policy. */
import type { LifecycleRule as SdkRule } from "@aws-sdk/client-s3";
import { isFault } from "#core/errors.ts";
import { AdminCalls } from "./admin-calls.ts";
import type { BucketAdminConfig, BucketEncryption, BucketSettings, LifecycleRule, Versioning } from "./bucket-admin.ts";
import { saysNoTags } from "./errors.ts";
import type { CallOptions } from "./object-store.ts";

export class SdkBucketSettings implements BucketSettings {
  protected readonly calls: AdminCalls;

  constructor(config: BucketAdminConfig) {
    this.calls = new AdminCalls(config);
  }

  async getVersioning(bucket: string, options: CallOptions = {}): Promise<Versioning> {
    const about = { operation: "GetBucketVersioning", bucket };
    const { Status } = await this.calls.run(about, options, ({ sdk, client, call }) =>
      client.send(new sdk.GetBucketVersioningCommand({ Bucket: bucket }), call),
    );
    return Status ?? "Off";
  }

  async setVersioning(bucket: string, state: "Enabled" | "Suspended", options: CallOptions = {}): Promise<void> {
    const input = { Bucket: bucket, VersioningConfiguration: { Status: state } };
    await this.calls.run({ operation: "PutBucketVersioning", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketVersioningCommand(input), call),
    );
  }

  async getTags(bucket: string, options: CallOptions = {}): Promise<Readonly<Record<string, string>>> {
    const about = { operation: "GetBucketTagging", bucket };
    try {
      const { TagSet = [] } = await this.calls.run(about, options, ({ sdk, client, call }) =>
        client.send(new sdk.GetBucketTaggingCommand({ Bucket: bucket }), call),
      );
      return Object.fromEntries(TagSet.map(({ Key = "", Value = "" }) => [Key, Value]));
    } catch (error) {
      if (saysNoTags(error)) return {};
      throw error;
    }
  }

  async setTags(bucket: string, tags: Readonly<Record<string, string>>, options: CallOptions = {}): Promise<void> {
    const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const input = { Bucket: bucket, Tagging: { TagSet } };
    await this.calls.run({ operation: "PutBucketTagging", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketTaggingCommand(input), call),
    );
  }

  async getEncryption(bucket: string, options: CallOptions = {}): Promise<BucketEncryption | undefined> {
    const about = { operation: "GetBucketEncryption", bucket };
    const found = await unlessUnset(
      this.calls.run(about, options, ({ sdk, client, call }) => client.send(new sdk.GetBucketEncryptionCommand({ Bucket: bucket }), call)),
    );
    const rule = found?.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
    const algorithm = rule?.SSEAlgorithm;
    if (algorithm !== "AES256" && algorithm !== "aws:kms") return undefined;
    return { algorithm, ...(rule?.KMSMasterKeyID ? { kmsKeyId: rule.KMSMasterKeyID } : {}) };
  }

  async setEncryption(bucket: string, { algorithm, kmsKeyId }: BucketEncryption, options: CallOptions = {}): Promise<void> {
    const byDefault = { SSEAlgorithm: algorithm, ...(kmsKeyId === undefined ? {} : { KMSMasterKeyID: kmsKeyId }) };
    // A key of the bucket's own spares a request to the key service for each object.
    const rule = { ApplyServerSideEncryptionByDefault: byDefault, ...(algorithm === "aws:kms" ? { BucketKeyEnabled: true } : {}) };
    const input = { Bucket: bucket, ServerSideEncryptionConfiguration: { Rules: [rule] } };
    await this.calls.run({ operation: "PutBucketEncryption", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketEncryptionCommand(input), call),
    );
  }

  async getLifecycle(bucket: string, options: CallOptions = {}): Promise<readonly LifecycleRule[]> {
    const about = { operation: "GetBucketLifecycleConfiguration", bucket };
    const found = await unlessUnset(
      this.calls.run(about, options, ({ sdk, client, call }) =>
        client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket: bucket }), call),
      ),
    );
    return (found?.Rules ?? []).filter(({ Status }) => Status === "Enabled").map(fromSdk);
  }

  async setLifecycle(bucket: string, rules: readonly LifecycleRule[], options: CallOptions = {}): Promise<void> {
    const input = { Bucket: bucket, LifecycleConfiguration: { Rules: rules.map(toSdk) } };
    await this.calls.run({ operation: "PutBucketLifecycleConfiguration", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketLifecycleConfigurationCommand(input), call),
    );
  }

  async getPublicAccessBlock(bucket: string, options: CallOptions = {}): Promise<boolean> {
    const about = { operation: "GetPublicAccessBlock", bucket };
    const found = await unlessUnset(
      this.calls.run(about, options, ({ sdk, client, call }) => client.send(new sdk.GetPublicAccessBlockCommand({ Bucket: bucket }), call)),
    );
    const { BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets } = found?.PublicAccessBlockConfiguration ?? {};
    return [BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets].every((blocked) => blocked === true);
  }

  async setPublicAccessBlock(bucket: string, options: CallOptions = {}): Promise<void> {
    const all = { BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true };
    await this.calls.run({ operation: "PutPublicAccessBlock", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutPublicAccessBlockCommand({ Bucket: bucket, PublicAccessBlockConfiguration: all }), call),
    );
  }

  async getPolicy(bucket: string, options: CallOptions = {}): Promise<string | undefined> {
    const about = { operation: "GetBucketPolicy", bucket };
    const found = await unlessUnset(
      this.calls.run(about, options, ({ sdk, client, call }) => client.send(new sdk.GetBucketPolicyCommand({ Bucket: bucket }), call)),
    );
    return found?.Policy;
  }

  async setPolicy(bucket: string, policy: string, options: CallOptions = {}): Promise<void> {
    await this.calls.run({ operation: "PutBucketPolicy", bucket }, options, ({ sdk, client, call }) =>
      client.send(new sdk.PutBucketPolicyCommand({ Bucket: bucket, Policy: policy }), call),
    );
  }
}

/** A setting that was never made is answered 404, with a code of its own for each. */
async function unlessUnset<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (thrown) {
    if (isFault(thrown, "not_found")) return undefined;
    throw thrown;
  }
}

function toSdk(rule: LifecycleRule): SdkRule {
  const { id, sizeOver, sizeUnder, expireDays, noncurrentDays, dropLoneMarkers, abortUploadsDays } = rule;
  const bySize = {
    ...(sizeOver === undefined ? {} : { ObjectSizeGreaterThan: sizeOver }),
    ...(sizeUnder === undefined ? {} : { ObjectSizeLessThan: sizeUnder }),
  };
  return {
    ID: id,
    Status: "Enabled",
    // Servers want a filter, and an empty prefix is the one that all of them take for "everything".
    Filter: Object.keys(bySize).length > 0 ? bySize : { Prefix: "" },
    ...(expireDays === undefined ? {} : { Expiration: { Days: expireDays } }),
    ...(dropLoneMarkers ? { Expiration: { ExpiredObjectDeleteMarker: true } } : {}),
    ...(noncurrentDays === undefined ? {} : { NoncurrentVersionExpiration: { NoncurrentDays: noncurrentDays } }),
    ...(abortUploadsDays === undefined ? {} : { AbortIncompleteMultipartUpload: { DaysAfterInitiation: abortUploadsDays } }),
  };
}

function fromSdk({ ID, Filter, Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload }: SdkRule): LifecycleRule {
  const found = {
    sizeOver: Filter?.ObjectSizeGreaterThan,
    sizeUnder: Filter?.ObjectSizeLessThan,
    expireDays: Expiration?.Days,
    noncurrentDays: NoncurrentVersionExpiration?.NoncurrentDays,
    dropLoneMarkers: Expiration?.ExpiredObjectDeleteMarker === true ? true : undefined,
    abortUploadsDays: AbortIncompleteMultipartUpload?.DaysAfterInitiation,
  };
  return { id: ID ?? "", ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) };
}
