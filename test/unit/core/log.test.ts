import { describe, expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import { isSecretName, REDACTED, redactSecrets, silentLogger } from "#core/log.ts";

describe("redactSecrets", () => {
  test("`redactSecrets` hides secrets of every spelling when they are nested in objects and arrays", () => {
    const fields = {
      volume: "v1",
      secrets: { any: "x" },
      request: [
        {
          secretAccessKey: "s",
          AWS_SECRET_ACCESS_KEY: "s",
          session_token: "t",
          "x-amz-security-token": "u",
          accessKeyId: "AK",
          httpProxy: "http://u:p@proxy",
        },
      ],
    };
    const text = JSON.stringify(redactSecrets(fields));
    expect(JSON.parse(text)).toEqual({
      volume: "v1",
      secrets: REDACTED,
      request: [
        {
          secretAccessKey: REDACTED,
          AWS_SECRET_ACCESS_KEY: REDACTED,
          session_token: REDACTED,
          "x-amz-security-token": REDACTED,
          accessKeyId: REDACTED,
          httpProxy: REDACTED,
        },
      ],
    });
  });

  test("`redactSecrets` keeps an error's message, fault, context and cause when it is given an error", () => {
    const error = new DriverError("no_bucket", "gone", { context: { bucket: "b", secretKey: "s" }, cause: new Error("below") });
    expect(redactSecrets({ error })).toMatchObject({
      error: { message: "gone", fault: "no_bucket", context: { bucket: "b", secretKey: REDACTED }, cause: { message: "below" } },
    });
  });

  test("`redactSecrets` ends when a value refers to itself", () => {
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    expect(JSON.stringify(redactSecrets(loop))).toContain("[deep]");
  });

  test("`isSecretName` lets the path of a passwd file through when asked about it", () => {
    expect(isSecretName("passwd_file")).toBe(false);
    expect(isSecretName("passwd")).toBe(true);
  });
});

test("`silentLogger` is its own child when asked for one", () => {
  expect(silentLogger.child({ a: 1 })).toBe(silentLogger);
});
