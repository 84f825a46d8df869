import { describe, expect, it } from "vitest";
import type { Cause } from "#core/causes.ts";
import { DriverError, type Fault } from "#core/errors.ts";
import { type TroubleReport, TroubleWatch } from "#core/trouble-watch.ts";

function watching() {
  const time = { ms: 1_000_000 };
  const reports: TroubleReport[] = [];
  const watch = new TroubleWatch({ clock: { now: () => time.ms }, report: (report) => reports.push(report) });
  const later = (seconds: number) => {
    time.ms += seconds * 1000;
  };
  return { watch, reports, later, told: () => reports.splice(0).map(({ type, cause }) => `${type} ${cause}`) };
}

const error = (fault: Fault, cause: Cause, message = "it failed") => new DriverError(fault, message, { context: { cause } });
const refused = error("unavailable", "connection_refused", "cannot reach the S3 endpoint");
const denied = error("denied", "access_denied", "PutObject s3://b/k: AccessDenied");

describe("TroubleWatch", () => {
  it("reports at once what only a person can mend, with the error's message", () => {
    const { watch, reports } = watching();
    watch.failed(denied, "PutObject");
    expect(reports).toEqual([{ type: "trouble", cause: "access_denied", message: denied.message }]);
    expect(watch.active).toEqual(["access_denied"]);
  });

  it("gives what is repeated by itself ten seconds", () => {
    const { watch, told, later } = watching();
    watch.failed(refused);
    later(9);
    watch.failed(refused);
    expect(told()).toEqual([]);
    expect(watch.active).toEqual([]);
    later(2);
    watch.failed(refused);
    expect(told()).toEqual(["trouble connection_refused"]);
  });

  it("forgets a blip: after a success the ten seconds begin again", () => {
    const { watch, told, later } = watching();
    watch.failed(refused);
    later(8);
    watch.succeeded("GetObject");
    later(8);
    watch.failed(refused);
    expect(told()).toEqual([]);
  });

  it("reports trouble that goes on once in five minutes", () => {
    const { watch, told, later } = watching();
    for (let second = 0; second < 600; second++, later(1)) watch.failed(denied, "PutObject");
    expect(told()).toEqual(["trouble access_denied", "trouble access_denied"]);
  });

  it("is over at a success after half a minute without a failure, and told once", () => {
    const { watch, told, later } = watching();
    watch.failed(error("no_bucket", "no_bucket"));
    later(29);
    watch.succeeded("HeadObject");
    expect(told()).toEqual(["trouble no_bucket"]);
    later(1);
    watch.succeeded("HeadObject");
    watch.succeeded("HeadObject");
    expect(told()).toEqual(["recovered no_bucket"]);
    expect(watch.active).toEqual([]);
  });

  it("ends a missing right only when what was refused succeeds", () => {
    const { watch, told, later } = watching();
    watch.failed(denied, "PutObject");
    later(60);
    watch.succeeded("GetObject");
    expect(told()).toEqual(["trouble access_denied"]);
    watch.succeeded("PutObject");
    expect(told()).toEqual(["recovered access_denied"]);
  });

  it("leaves what was raised to whoever raised it", () => {
    const { watch, told, later } = watching();
    watch.raise("disk_full", "4 MiB are free");
    later(60);
    watch.succeeded("PutObject");
    expect(told()).toEqual(["trouble disk_full"]);
    watch.clear("disk_full");
    watch.clear("disk_full");
    watch.clear("uploads_failing");
    expect(told()).toEqual(["recovered disk_full"]);
  });

  it("tells several causes apart", () => {
    const { watch, told, later } = watching();
    watch.failed(denied, "PutObject");
    watch.failed(refused);
    later(11);
    watch.failed(refused);
    expect(told()).toEqual(["trouble access_denied", "trouble connection_refused"]);
    later(31);
    watch.succeeded("ListObjectsV2");
    expect(told()).toEqual(["recovered connection_refused"]);
  });

  it("takes an answer such as 404 for a sign of life", () => {
    const { watch, told, later } = watching();
    watch.failed(error("no_bucket", "no_bucket"));
    later(31);
    watch.failed(new DriverError("internal", "a fault of ours"));
    expect(told()).toEqual(["trouble no_bucket"]);
    watch.failed(new DriverError("not_found", "no such key", { context: { status: 404 } }), "HeadObject");
    expect(told()).toEqual(["recovered no_bucket"]);
  });

  it("takes no notice of errors that are ordinary answers", () => {
    const { watch, told } = watching();
    watch.failed(new DriverError("not_found", "no such key"));
    watch.failed(new DriverError("stale", "replaced"));
    expect(told()).toEqual([]);
  });
});
