import { expect, test } from "vitest";
import { resolveStore } from "#controller/store.ts";
import { parseSecrets } from "#node/credentials.ts";

const SPELLINGS = [
  ["accessKeyId", "secretAccessKey", "sessionToken"],
  ["accessKeyID", "secretAccessKey", "sessionToken"],
  ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
  ["access_key_id", "secret_access_key", "session_token"],
  ["access-key-id", "secret-access-key", "session-token"],
  ["key_id", "access_key", "sessionToken"],
] as const;

test.each(SPELLINGS)("`parseSecrets` reads %s, %s and %s as the controller does", (id, key, token) => {
  const secrets = { [id]: "AK", [key]: "SK\n", [token]: "T" };
  const { credentials } = parseSecrets(secrets);
  expect(credentials).toEqual({ kind: "static", accessKeyId: "AK", secretAccessKey: "SK", sessionToken: "T" });
  const { credentials: controllers } = resolveStore({}, secrets, { region: "r" });
  expect({ kind: "static", ...controllers }).toEqual(credentials);
});

test("`parseSecrets` finds where the keys are good, and nothing in an empty secret", () => {
  expect(parseSecrets({ AWS_ENDPOINT_URL: "https://s3.example/", AWS_REGION: "eu-1" })).toEqual({
    endpoint: "https://s3.example",
    region: "eu-1",
  });
  expect(parseSecrets({})).toEqual({});
  expect(parseSecrets({ accessKeyId: "", secretAccessKey: "" })).toEqual({});
});

test("`parseSecrets` names what is missing or wrong, and never a value", () => {
  expect(() => parseSecrets({ accessKeyId: "AKIAX" })).toThrow(/^secrets: secretAccessKey is missing beside accessKeyId$/);
  expect(() => parseSecrets({ secretAccessKey: "hush" })).toThrow(/^secrets: accessKeyId is missing beside secretAccessKey$/);
  expect(() => parseSecrets({ endpoint: "https://user:hush@host" })).toThrow(/^secrets: endpoint must be a URL(?!.*hush)/);
});
