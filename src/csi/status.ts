/** A fault as gRPC sends it. The only place where faults meet gRPC codes. */
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { causeOf, explain } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import { REDACTED } from "#core/log.ts";

/** Shorter "secrets" (a region, a user name) would blank out ordinary words. */
const SHORTEST_SECRET = 6;

/**
 * The status for anything thrown: the code of its fault's row, and as details its one-line message with what to do about it. What is
 * not a DriverError is INTERNAL and tells no more than that: its text was written for a log, not for a user.
 * `secrets` are values that must not appear in the details, whoever put them there.
 */
export function statusOf(thrown: unknown, secrets: Iterable<string> = []): StatusObject {
  const error = DriverError.from(thrown);
  const details =
    thrown instanceof DriverError || error.fault !== "internal"
      ? explain(error.message, causeOf(error))
      : "internal error; the log has its stack";
  return { code: status[error.row.grpc], details: withoutSecrets(details, secrets), metadata: new Metadata() };
}

/** The code as Go's gRPC writes it, which is how csi-lib-utils' metrics have it: `OK`, `Canceled`, `NotFound`. */
export function goCodeName(code: number): string {
  if (code === status.OK) return "OK";
  // Go's is the American spelling.
  if (code === status.CANCELLED) return "Canceled";
  const words = (status[code] ?? "UNKNOWN").toLowerCase().split("_");
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

/** `text` with every one of these values replaced. */
export function withoutSecrets(text: string, secrets: Iterable<string>): string {
  let clean = text;
  for (const secret of secrets) if (secret.length >= SHORTEST_SECRET) clean = clean.replaceAll(secret, REDACTED);
  return clean;
}
