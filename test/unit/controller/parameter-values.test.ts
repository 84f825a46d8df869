import { expect, test } from "vitest";
import { ParameterRefusal } from "#controller/parameter-refusal.ts";
import {
  oneOf,
  parseBucket,
  parseEndpoint,
  parseKmsKey,
  parsePrefix,
  parsePrincipal,
  parseStorageClass,
  parseTags,
} from "#controller/parameter-values.ts";

test("each form refuses what is wrong, and says why where the form does not", () => {
  const wrong: readonly (readonly [(value: string) => unknown, string, RegExp])[] = [
    [parseTags, "noequals", /noequals/],
    [parseTags, "a=1,a=2", /a twice/],
    [parseTags, "aws:x=1", /reserved/],
    [parseTags, "bucketmount-volume=1", /reserved/],
    [parseTags, Array.from({ length: 48 }, (_, n) => `k${n}=v`).join(","), /at most 47/],
    [parsePrefix, "Team", /^$/],
    [parseEndpoint, "minio:9000", /^$/],
    [parseEndpoint, "https://u:p@s3.example", /credentials belong into the secret/],
    [parseEndpoint, "https://s3.example?x=1", /no query/],
    [parseBucket, "a/b", /^$/],
    [parseBucket, "", /^$/],
    [parseBucket, "a+b", /^$/],
    [parseStorageClass, "standard_ia", /^$/],
    [parseStorageClass, "GLACIER", /restore/],
    [parseStorageClass, "DEEP_ARCHIVE", /restore/],
    [parsePrincipal, "*", /^$/],
    [parsePrincipal, "arn:aws:iam::1:user/*", /^$/],
    [parsePrincipal, 'x"}', /^$/],
    [parseKmsKey, "key one", /^$/],
    [oneOf("a", "b"), "c", /^$/],
  ];
  for (const [parse, value, message] of wrong) {
    const attempt = () => parse(value);
    expect(attempt, value).toThrow(ParameterRefusal);
    expect(attempt, value).toThrow(expect.objectContaining({ message: expect.stringMatching(message) }));
  }
});

test("each form takes what S3 takes", () => {
  expect(parseTags("b=2, a=x y,")).toEqual({ a: "x y", b: "2" });
  expect(parseEndpoint("https://s3.example/")).toBe("https://s3.example");
  for (const bucket of ["shared", "Old_Bucket.Name", "1.2.3"]) expect(parseBucket(bucket)).toBe(bucket);
  for (const name of ["GLACIER_IR", "REDUCED_REDUNDANCY", "COLD-1"]) expect(parseStorageClass(name)).toBe(name);
  for (const who of ["arn:aws:iam::123456789012:role/a/b", "123456789012", "node@example"]) expect(parsePrincipal(who)).toBe(who);
  for (const key of ["alias/mine", "arn:aws:kms:eu-1:1:key/x", "1234abcd-12ab"]) expect(parseKmsKey(key)).toBe(key);
});
