import { expect, test } from "vitest";
import { leastPrivilegePolicy, POLICY_SID } from "#controller/bucket-policy.ts";

interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Principal: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Resource: string;
}

const statements = (principal: string) => (JSON.parse(leastPrivilegePolicy("b", principal)) as { Statement: Statement[] }).Statement;

test("`leastPrivilegePolicy` gives one account a mount's requests in one bucket, and not its mark", () => {
  const node = "arn:aws:iam::123456789012:role/node";
  const all = statements(node);
  expect(all.every(({ Principal }) => Principal.AWS === node)).toBe(true);
  expect(all.every(({ Resource }) => /^arn:aws:s3:::b(\/|$)/.test(Resource))).toBe(true);
  expect(all.find(({ Sid }) => Sid === POLICY_SID)).toMatchObject({ Effect: "Allow", Resource: "arn:aws:s3:::b/*" });
  expect(all.find(({ Effect }) => Effect === "Deny")).toMatchObject({
    Action: ["s3:PutObject", "s3:DeleteObject"],
    Resource: "arn:aws:s3:::b/.bucketmount/volume.json",
  });
  const allowed = all.filter(({ Effect }) => Effect === "Allow").flatMap(({ Action }) => Action);
  expect(allowed.filter((action) => action.includes("*") || /Policy|Acl|Version|DeleteBucket/.test(action))).toEqual([]);
});

test("`leastPrivilegePolicy` stays in the principal's part of AWS", () => {
  expect(statements("arn:aws-cn:iam::1:user/x")[0]?.Resource).toBe("arn:aws-cn:s3:::b");
  expect(statements("node-user")[0]?.Resource).toBe("arn:aws:s3:::b");
});
