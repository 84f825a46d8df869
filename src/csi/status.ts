/** A fault as gRPC sends it. The only place where faults meet gRPC codes. */
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { DriverError } from "#core/errors.ts";
import { REDACTED } from "#core/log.ts";

/** Shorter "secrets" (a region, a user name) would blank out ordinary words. */
const SHORTEST_SECRET = 6;

/**
 * The status for anything thrown: the code of its fault's row, and its one-line message as details. What is not a
 * DriverError is INTERNAL and tells no more than that: its text was written for a log, not for a user.
 * `secrets` are values that must not appear in the details, whoever put them there.
 */
export function statusOf(thrown: unknown, secrets: Iterable<string> = []): StatusObject {
  const error = DriverError.from(thrown);
  const details = thrown instanceof DriverError || error.fault !== "internal" ? error.message : "internal error; the log has its stack";
  return { code: status[error.row.grpc], details: withoutSecrets(details, secrets), metadata: new Metadata() };
}

function withoutSecrets(text: string, secrets: Iterable<string>): string {
  let clean = text;
  for (const secret of secrets) if (secret.length >= SHORTEST_SECRET) clean = clean.replaceAll(secret, REDACTED);
  return clean;
}
