import { EventEmitter } from "node:events";
import { type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { DriverError } from "#core/errors.ts";
import { type CallContext, type FinishedCall, type Handler, unaryHandler } from "#csi/interceptors.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

/** One call as grpc-js would make it, without a wire: no clock but the handler's own. */
function run(
  handler: Handler<unknown, object>,
  options: { method?: string; request?: object; deadline?: number | Date; onCall?: (call: FinishedCall) => void } = {},
) {
  const log = recordingLogger();
  const { method = "DeleteVolume", request = {}, deadline = Infinity, onCall } = options;
  const call = Object.assign(new EventEmitter(), { request, getDeadline: () => deadline, getPath: () => `/csi.v1.Controller/${method}` });
  const { promise, resolve } = Promise.withResolvers<Parameters<sendUnaryData<object>>>();
  const intercepted = unaryHandler(method, handler, { log, defaultDeadlineMs: 60_000, onCall });
  intercepted(call as unknown as ServerUnaryCall<unknown, object>, (...answer) => resolve(answer));
  return { call, log, answer: promise };
}

const untilAborted: Handler<unknown, object> = (_request, { signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new DriverError("interrupted", "request aborted"))));

test("`unaryHandler` aborts before the caller's deadline and answers DEADLINE_EXCEEDED, whatever the aborted request said", async () => {
  const { answer } = run(untilAborted, { deadline: Date.now() + 50 });
  const [error] = await answer;
  expect(error).toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: expect.stringContaining("DeleteVolume did not end within its deadline"),
  });
});

test("`unaryHandler` aborts when the caller goes away", async () => {
  const { call, answer } = run(untilAborted);
  call.emit("cancelled");
  expect((await answer)[0]).toMatchObject({ code: status.CANCELLED });
});

test("`unaryHandler` keeps the error of a handler that failed by itself after the abort", async () => {
  const { call, answer } = run(
    (_request, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new DriverError("denied", "no")))),
  );
  call.emit("cancelled");
  expect((await answer)[0]).toMatchObject({ code: status.PERMISSION_DENIED });
});

test("`unaryHandler` gives a call without a deadline the default one and takes a Date as well", async () => {
  const seen: CallContext[] = [];
  const handler: Handler<unknown, object> = async (_request, call) => {
    seen.push(call);
    return {};
  };
  const now = Date.now();
  await run(handler).answer;
  await run(handler, { deadline: new Date(now + 3_600_000) }).answer;
  // Less the margin that is kept for our own answer.
  expect(seen[0]?.deadlineAt).toBeGreaterThanOrEqual(now + 59_000);
  expect(seen[0]?.deadlineAt).toBeLessThan(now + 3_000_000);
  expect(seen[1]?.deadlineAt).toBeGreaterThanOrEqual(now + 3_590_000);
  expect(seen[1]?.deadlineAt).toBeLessThanOrEqual(now + 3_600_000);
});

test("`unaryHandler` logs one line a call: probes at debug, the rest at info with its subject and no secret", async () => {
  const secrets = { accessKeyId: "AKIAEXAMPLE1", secretAccessKey: "verysecret1" };
  const volumeContext = { bucket: "b", "csi.storage.k8s.io/serviceAccount.tokens": "eyJtoken" };
  const loud = run(async () => ({}), { method: "NodePublishVolume", request: { volumeId: "v1:b", secrets, volumeContext } });
  await loud.answer;
  expect(loud.log.lines).toMatchObject([
    { level: "info", fields: { method: "NodePublishVolume", volumeId: "v1:b", request: { volumeContext: { bucket: "b" } } } },
  ]);
  expect(JSON.stringify(loud.log.lines)).not.toMatch(/AKIAEXAMPLE1|verysecret1|eyJtoken/);
  const quiet = run(async () => ({}), { method: "Probe" });
  await quiet.answer;
  expect(quiet.log.lines.map(({ level }) => level)).toEqual(["debug"]);
});

test("`unaryHandler` tells of each call's end: path, Go's name of the code, time, and what the caller is told", async () => {
  const calls: FinishedCall[] = [];
  const onCall = (call: FinishedCall) => void calls.push(call);
  await run(async () => ({}), { method: "CreateVolume", request: { name: "pvc-1" }, onCall }).answer;
  const denied = new DriverError("denied", "CreateBucket s3://b: AccessDenied", { context: { cause: "access_denied" } });
  await run(() => Promise.reject(denied), { method: "CreateVolume", onCall }).answer;
  expect(calls[0]).toMatchObject({
    method: "CreateVolume",
    path: "/csi.v1.Controller/CreateVolume",
    code: "OK",
    request: { name: "pvc-1" },
  });
  expect(calls[0]?.seconds).toBeGreaterThanOrEqual(0);
  expect(calls[0]?.failure).toBeUndefined();
  expect(calls[1]).toMatchObject({ code: "PermissionDenied", failure: { error: denied } });
  expect(calls[1]?.failure?.details).toMatch(/^CreateBucket s3:\/\/b: AccessDenied\. Allow this key/);
});

test("`unaryHandler` answers as it would although the one it tells of the call throws", async () => {
  const onCall = () => {
    throw new Error("nobody listens");
  };
  const { answer, log } = run(async () => ({ done: true }), { onCall });
  expect(await answer).toEqual([null, { done: true }]);
  expect(log.lines.map(({ level }) => level)).toContain("error");
});

test("`unaryHandler` keeps secrets out of messages, of the log and of the answer, wherever they came from", async () => {
  const request = {
    volumeId: "v",
    secrets: { secretAccessKey: "verysecret1", httpProxy: "http://me:pass%2Fword@proxy:3128" },
    volumeContext: { "csi.storage.k8s.io/serviceAccount.tokens": "eyJtoken" },
  };
  const cause = new Error("inner verysecret1");
  const thrown = new DriverError("bad_argument", "verysecret1, pass/word and eyJtoken are wrong", { cause });
  const { answer, log } = run(() => Promise.reject(thrown), { request });
  const [error] = await answer;
  for (const text of [String((error as { details?: string }).details), JSON.stringify(log.lines)]) {
    expect(text).toContain("are wrong");
    expect(text).not.toMatch(/verysecret1|pass.*word|eyJtoken/);
  }
});
