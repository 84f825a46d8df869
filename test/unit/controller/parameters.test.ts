// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the templates that are tested.
import { expect, test } from "vitest";
import { claimOf, PARAMETERS, parseParameters } from "#controller/parameters.ts";

const refused = (message: string | RegExp) => expect.objectContaining({ fault: "bad_argument", message: expect.stringMatching(message) });

const OF_A_BUCKET = {
  region: "eu-central-1",
  versioning: "true",
  tags: "team=a, env=ci",
  bucketPrefix: "team-a-",
  endpoint: "https://s3.example:9000/",
  pathStyle: "false",
  nameTemplate: "${pvc.namespace}-${pvc.name}",
  onDelete: "only-if-empty",
  encryption: "SSE-KMS",
  kmsKeyId: "arn:aws:kms:eu-central-1:123456789012:key/0c2b6f6e",
  storageClass: "STANDARD_IA",
  lifecycle: "expire=30d,abort-uploads=7d,noncurrent=14d",
  publicAccessBlock: "true",
  bucketPolicy: "least-privilege",
  nodePrincipal: "arn:aws:iam::123456789012:role/node",
};

test("`parseParameters` reads every parameter of the table", () => {
  expect([...Object.keys(OF_A_BUCKET), "bucket"].sort()).toEqual(Object.keys(PARAMETERS).sort());
  expect(parseParameters(OF_A_BUCKET)).toEqual({
    ...OF_A_BUCKET,
    versioning: true,
    tags: { env: "ci", team: "a" },
    endpoint: "https://s3.example:9000",
    pathStyle: false,
    lifecycle: { expire: 30, "abort-uploads": 7, noncurrent: 14 },
    publicAccessBlock: true,
  });
  expect(parseParameters({ bucket: "Shared.Bucket", storageClass: "STANDARD_IA", onDelete: "archive", region: "eu-1" })).toEqual({
    ...{ bucket: "Shared.Bucket", storageClass: "STANDARD_IA", onDelete: "archive", region: "eu-1" },
  });
});

test("`parseParameters` leaves the orchestrator's own keys alone", () => {
  const given = { "csi.storage.k8s.io/pvc/name": "m2", "csi.storage.k8s.io/pvc/namespace": "ci", "csi.storage.k8s.io/pv/name": "pvc-1" };
  expect(parseParameters(given)).toEqual({});
  expect(claimOf(given)).toEqual({ namespace: "ci", name: "m2" });
});

test("`parseParameters` refuses an unknown parameter by name and lists the known ones", () => {
  for (const name of ["versionning", "Region", "__proto__x", "toString"]) {
    expect(() => parseParameters({ [name]: "x" })).toThrow(refused(new RegExp(`${name}.*known: bucket .*pathStyle`)));
  }
});

test("`parseParameters` refuses a wrong value by its parameter's name and says the form", () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ["region", "eu central", /parameter region must be an S3 region/],
    ["versioning", "yes", /parameter versioning must be true or false, not "yes"$/],
    ["onDelete", "Delete", /parameter onDelete must be one of delete, retain, archive, only-if-empty, not "Delete"$/],
    ["encryption", "AES256", /parameter encryption must be one of SSE-S3, SSE-KMS/],
    ["bucketPolicy", "public", /parameter bucketPolicy must be one of least-privilege/],
    ["nameTemplate", "${pvc.uid}", /parameter nameTemplate must be .*pvc\.uid\} is not known/],
    ["lifecycle", "expire=1h", /parameter lifecycle must be .*expire=1h/],
  ];
  for (const [name, value, message] of wrong)
    expect(() => parseParameters({ [name]: value }), `${name}=${value}`).toThrow(refused(message));
});

test("`parseParameters` refuses what is a bucket's own for a shared one", () => {
  const own = ["versioning", "tags", "bucketPrefix", "encryption", "lifecycle", "publicAccessBlock"] as const;
  for (const name of own) {
    const given = { bucket: "shared", versioning: "true", [name]: OF_A_BUCKET[name] };
    if (name !== "versioning") delete (given as { versioning?: string }).versioning;
    expect(() => parseParameters(given), name).toThrow(refused(`parameter ${name} does not go with parameter bucket`));
  }
});

test("`parseParameters` refuses what means nothing alone", () => {
  const { kmsKeyId, nodePrincipal } = OF_A_BUCKET;
  const pairs: readonly (readonly [Record<string, string>, string])[] = [
    [{ kmsKeyId }, "parameter kmsKeyId needs parameter encryption: SSE-KMS"],
    [{ kmsKeyId, encryption: "SSE-S3" }, "parameter kmsKeyId needs parameter encryption: SSE-KMS"],
    [{ nodePrincipal }, "parameter nodePrincipal needs parameter bucketPolicy"],
    [{ bucketPolicy: "least-privilege" }, "parameter bucketPolicy needs parameter nodePrincipal"],
    [{ lifecycle: "noncurrent=3d" }, "parameter lifecycle: noncurrent needs parameter versioning: true"],
    [{ lifecycle: "noncurrent=3d", versioning: "false" }, "needs parameter versioning: true"],
  ];
  for (const [given, message] of pairs) expect(() => parseParameters(given), JSON.stringify(given)).toThrow(refused(message));
});
