import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { DriverError, FAULTS, type Fault } from "#core/errors.ts";
import { goCodeName, statusOf } from "#csi/status.ts";

test("`statusOf` gives each fault the code of its row, as a number that gRPC knows", () => {
  for (const [fault, row] of Object.entries(FAULTS)) {
    const { code, details } = statusOf(new DriverError(fault as Fault, "what failed"));
    expect(code, fault).toBe(status[row.grpc]);
    expect(typeof code).toBe("number");
    expect(details).toBe("what failed");
  }
});

test("`statusOf` tells nothing of what nobody foresaw", () => {
  const { code, details } = statusOf(new TypeError("cannot read AKIDSECRET of undefined"));
  expect(code).toBe(status.INTERNAL);
  expect(details).not.toContain("AKIDSECRET");
});

test("`statusOf` keeps the meaning of a system error", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
  expect(statusOf(refused)).toMatchObject({ code: status.UNAVAILABLE, details: "connect ECONNREFUSED 127.0.0.1:1" });
});

test("`statusOf` takes given secrets out of the details, and leaves short ones that are ordinary words", () => {
  const error = new DriverError("denied", "the key AKIAEXAMPLE with s3cr3t/s3cr3t was refused in eu");
  expect(statusOf(error, ["AKIAEXAMPLE", "s3cr3t/s3cr3t", "eu"]).details).toBe("the key [redacted] with [redacted] was refused in eu");
});

test("`statusOf` says what to do where the cause is known", () => {
  const error = new DriverError("no_bucket", 'the bucket "b" does not exist at http://s3', { context: { cause: "no_bucket" } });
  expect(statusOf(error).details).toMatch(/^the bucket "b" does not exist at http:\/\/s3\. Create the bucket, or correct/);
});

test("`goCodeName` spells codes as Go's gRPC does", () => {
  const names = Array.from({ length: 17 }, (_, code) => goCodeName(code));
  // google.golang.org/grpc/codes/code_string.go
  expect(names).toEqual([
    ...["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied"],
    ...["ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable"],
    ...["DataLoss", "Unauthenticated"],
  ]);
});
