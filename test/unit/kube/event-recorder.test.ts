import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createEventRecorder, type EventNote, type EventRecorder } from "#kube/event-recorder.ts";
import { createKubeApi } from "#kube/kube-api.ts";
import { type FakeKubeApi, startFakeKubeApi } from "../../support/fake-kube-api.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const NOTE: EventNote = {
  about: { kind: "Pod", namespace: "team", name: "builder", uid: "u1" },
  ...{ type: "Warning", reason: "AccessDenied", message: "403. Allow it." },
};
/** The API is on this machine, which may be busy. */
const LONG_MS = 30_000;

let dir = "";
let server: FakeKubeApi;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "bucketmount-events-"));
  server = await startFakeKubeApi();
});
afterEach(async () => {
  await server.stop();
  rmSync(dir, { recursive: true });
});

function world(retryMs: readonly number[] = [1, 1]) {
  const time = { ms: 1_700_000_000_000 };
  const log = recordingLogger();
  const api = createKubeApi({ env: { KUBECONFIG: server.writeKubeconfig(dir) }, requestMs: 500 });
  const clock = { now: () => time.ms };
  const recorder = createEventRecorder({ api, component: "s3.test", host: "node-1", log, clock, retryMs });
  const record = async (...notes: readonly EventNote[]) => {
    for (const note of notes) recorder.record(note);
    await recorder.drain(LONG_MS);
  };
  return { time, log, recorder, record };
}

const times = (n: number, note: (i: number) => EventNote) => Array.from({ length: n }, (_, i) => note(i));

/** Waits for what must come. */
async function until(recorder: EventRecorder, key: "recorded" | "failed", count: number): Promise<void> {
  const end = Date.now() + LONG_MS;
  while (recorder.counts()[key] < count && Date.now() < end) await sleep(5);
  expect(recorder.counts()[key]).toBe(count);
}

test("`record` makes an Event as kubectl describe finds it", async () => {
  const { record, recorder } = world();
  await record(NOTE);
  expect(server.events).toMatchObject([
    {
      metadata: { namespace: "team", name: expect.stringMatching(/^builder\.[0-9a-f]+$/) },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "team", name: "builder", uid: "u1" },
      ...{ type: "Warning", reason: "AccessDenied", message: "403. Allow it.", count: 1 },
      source: { component: "s3.test", host: "node-1" },
      firstTimestamp: "2023-11-14T22:13:20.000Z",
    },
  ]);
  expect(recorder.counts()).toEqual({ recorded: 1, limited: 0, failed: 0 });
});

test("`record` returns before anything was sent", async () => {
  const { recorder } = world();
  recorder.record(NOTE);
  expect(server.requests).toEqual([]);
  await recorder.drain(LONG_MS);
  expect(server.requests).toHaveLength(1);
});

test("`record` counts the same Event up, at most once a minute, with the newest words", async () => {
  const { time, record, recorder } = world();
  await record(NOTE);
  for (let i = 0; i < 10; i++) {
    time.ms += 5_000;
    await record(NOTE);
  }
  expect(server.requests).toHaveLength(1);
  time.ms += 15_000;
  await record({ ...NOTE, message: "403 again. Allow it." });
  expect(server.events).toMatchObject([
    { count: 12, message: "403 again. Allow it.", firstTimestamp: "2023-11-14T22:13:20.000Z", lastTimestamp: "2023-11-14T22:14:25.000Z" },
  ]);
  expect(recorder.counts()).toEqual({ recorded: 2, limited: 10, failed: 0 });
});

test("`record` makes a new Event when the old one is gone, or so old that the server will forget it", async () => {
  const { time, record } = world();
  await record(NOTE);
  server.events.length = 0;
  time.ms += 61_000;
  await record(NOTE);
  expect(server.events).toMatchObject([{ count: 1 }]);
  time.ms += 56 * 60_000;
  await record(NOTE);
  expect(server.events).toHaveLength(2);
});

test("`record` keeps reasons, objects and good news apart", async () => {
  const { record } = world();
  await record(
    NOTE,
    { ...NOTE, reason: "DnsFailing" },
    { ...NOTE, type: "Normal", reason: "Recovered" },
    { ...NOTE, about: { ...NOTE.about, uid: "u2" } },
    { ...NOTE, about: { kind: "PersistentVolumeClaim", namespace: "other", name: "maven" } },
  );
  expect(server.events.map(({ metadata, reason }) => `${metadata.namespace} ${reason}`)).toEqual([
    "team AccessDenied",
    "team DnsFailing",
    "team Recovered",
    "team AccessDenied",
    "other AccessDenied",
  ]);
});

test("`record` gives an object 25 Events at once, then one in five minutes, and lets others speak", async () => {
  const { time, record } = world();
  await record(...times(40, (i) => ({ ...NOTE, reason: `Reason${i}` })));
  expect(server.events).toHaveLength(25);
  await record({ ...NOTE, about: { ...NOTE.about, name: "another" } });
  expect(server.events).toHaveLength(26);
  time.ms += 10 * 60_000;
  await record(...times(5, (i) => ({ ...NOTE, reason: `Later${i}` })));
  expect(server.events).toHaveLength(28);
});

test("`record` shortens a message that the API would refuse, and keeps the fix at its end", async () => {
  const { record } = world();
  await record({ ...NOTE, message: `${"é".repeat(2000)} Allow it.` });
  const message = server.events[0]?.message ?? "";
  expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1024);
  expect(message).toMatch(/Allow it\.$/);
});

test("`record` outlives an API server that is away, and sends what waited when it is back", async () => {
  const { recorder, log } = world(Array.from({ length: 2000 }, () => 5));
  server.refusing = { status: 503, message: "starting" };
  for (const note of times(3, (i) => ({ ...NOTE, reason: `Reason${i}` }))) recorder.record(note);
  while (server.requests.length < 3) await sleep(1);
  server.refusing = undefined;
  await until(recorder, "recorded", 3);
  expect(server.events.map(({ reason }) => reason)).toEqual(["Reason0", "Reason1", "Reason2"]);
  expect(log.lines).toEqual([]);
});

test("`record` gives up where there is no sense in it, says so, and goes on with the next", async () => {
  const { record, recorder, log } = world();
  server.refusing = { status: 403, message: 'events is forbidden: User "x" cannot create' };
  await record(NOTE);
  expect(server.requests).toHaveLength(1);
  expect(recorder.counts()).toMatchObject({ failed: 1 });
  expect(log.lines).toMatchObject([{ level: "warn", fields: { reason: "AccessDenied" } }]);
  server.refusing = undefined;
  await record({ ...NOTE, reason: "DnsFailing" });
  expect(server.events).toHaveLength(1);
});

test("`record` gives up after the last attempt at a server that never answers", async () => {
  const { recorder } = world([1]);
  server.refusing = "hang";
  recorder.record(NOTE);
  await until(recorder, "failed", 1);
  expect(server.requests).toHaveLength(2);
});

test("`record` drops what does not fit while the API is away for long", async () => {
  const { recorder } = world();
  server.refusing = "hang";
  for (const note of times(600, (i) => ({ ...NOTE, about: { ...NOTE.about, name: `pod-${i}` } }))) recorder.record(note);
  expect(recorder.counts()).toEqual({ recorded: 0, limited: 100, failed: 0 });
});

test("`drain` does not wait longer than it is told", async () => {
  const { recorder } = world();
  server.refusing = "hang";
  recorder.record(NOTE);
  await recorder.drain(10);
  expect(recorder.counts()).toMatchObject({ recorded: 0 });
});
