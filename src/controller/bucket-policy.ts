/** `bucketPolicy: least-privilege`: what the nodes' account may do in a volume's bucket, as a policy of that bucket. */
import { MARK_KEY } from "./mark.ts";

/** What a mount does. */
const BUCKET_ACTIONS = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"];
const OBJECT_ACTIONS = [
  ...["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
  // A copy, which is what a rename is, takes an object's tags along.
  ...["s3:GetObjectTagging", "s3:PutObjectTagging"],
];

/** In every policy of ours. */
export const POLICY_SID = "BucketmountObjects";

/**
 * Objects can be read, written and deleted, the mark only read: no mount can take a bucket's permission to be deleted, or forge it.
 * What the principal may do by other policies it still may, except for the mark.
 */
export function leastPrivilegePolicy(bucket: string, principal: string): string {
  const partition = /^arn:([\w-]+):/.exec(principal)?.[1] ?? "aws";
  const arn = `arn:${partition}:s3:::${bucket}`;
  const of = { Principal: { AWS: principal } };
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Sid: "BucketmountList", Effect: "Allow", ...of, Action: BUCKET_ACTIONS, Resource: arn },
      { Sid: POLICY_SID, Effect: "Allow", ...of, Action: OBJECT_ACTIONS, Resource: `${arn}/*` },
      { Sid: "BucketmountMark", Effect: "Deny", ...of, Action: ["s3:PutObject", "s3:DeleteObject"], Resource: `${arn}/${MARK_KEY}` },
    ],
  });
}
