import { expect, test } from "vitest";
import { METRICS, type MetricRow } from "#core/metrics.ts";
import type { FinishedCall } from "#csi/interceptors.ts";
import { createMetrics, type MetricsOptions, type VolumeSample } from "#csi/metrics.ts";
import { recordingLogger } from "../../support/recording-logger.ts";

const SAMPLE: VolumeSample = {
  volumeId: 'v1:"b"',
  claim: { namespace: "team", name: "maven" },
  ...{ bucket: "b", prefix: "p/", state: "serving", restarts: 2, troubles: ["access_denied"] },
  status: {
    ...{ takeovers: 1, dirtyFiles: 3, dirtyBytes: 4096, openHandles: 5, inodes: 6, retries: 7, rssBytes: 8 },
    cache: { bytes: 10, limitBytes: 100, files: 11, hits: 12, misses: 13 },
    requests: { GetObject: 20, HeadObject: 21 },
    errors: { not_found: 22 },
  },
};

const call = (more: Partial<FinishedCall> = {}): FinishedCall => ({
  ...{ method: "CreateVolume", path: "/csi.v1.Controller/CreateVolume", request: {}, seconds: 0.3, code: "OK" },
  ...more,
});

function metrics(more: Partial<MetricsOptions> = {}) {
  const log = recordingLogger();
  return { log, ...createMetrics({ component: "node", driverName: "s3.test", version: "1.2.3", log, ...more }) };
}

/** Lines of one metric, without its help. */
const linesOf = (text: string, name: string) => text.split("\n").filter((line) => line.startsWith(name) && !line.startsWith("#"));

test("`observe` counts calls as csi-lib-utils does: full method name, Go's name of the code", async () => {
  const { observe, render } = metrics();
  observe(call());
  observe(call({ code: "NotFound", seconds: 3 }));
  const text = await render();
  const labels = (code: string) => `driver_name="s3.test",method_name="/csi.v1.Controller/CreateVolume",grpc_status_code="${code}"`;
  expect(text).toContain(`csi_plugin_operations_seconds_bucket{le="0.25",${labels("OK")}} 0`);
  expect(text).toContain(`csi_plugin_operations_seconds_bucket{le="0.5",${labels("OK")}} 1`);
  expect(text).toContain(`csi_plugin_operations_seconds_sum{${labels("NotFound")}} 3`);
  expect(text).toContain(`csi_plugin_operations_seconds_count{${labels("NotFound")}} 1`);
  // What was counted stays for the next scrape.
  expect(linesOf(await render(), "csi_plugin_operations_seconds_count")).toHaveLength(2);
});

test("`render` shows a volume with all that its engine told", async () => {
  const text = await metrics({ volumes: async () => [SAMPLE] }).render();
  const own = 'volume_id="v1:\\"b\\"",pvc_namespace="team",pvc_name="maven"';
  for (const line of [
    `bucketmount_volume_info{${own},bucket="b",prefix="p/"} 1`,
    `bucketmount_volume_engine_state{${own},state="serving"} 1`,
    `bucketmount_volume_engine_state{${own},state="silent"} 0`,
    `bucketmount_volume_engine_restarts_total{${own}} 2`,
    `bucketmount_volume_trouble{${own},cause="access_denied"} 1`,
    `bucketmount_volume_dirty_bytes{${own}} 4096`,
    `bucketmount_volume_cache_hits_total{${own}} 12`,
    `bucketmount_volume_s3_requests_total{${own},operation="GetObject"} 20`,
    `bucketmount_volume_s3_errors_total{${own},fault="not_found"} 22`,
  ]) {
    expect(text.split("\n")).toContain(line);
  }
});

test("`render` shows every metric of the table that the plugin serves, and no other", async () => {
  for (const component of ["node", "controller"] as const) {
    const parts = { storeUp: async () => true, events: () => ({ recorded: 1 }), volumes: async () => [SAMPLE] };
    const { observe, render } = metrics({ component, ...(component === "node" ? parts : { ...parts, volumes: undefined }) });
    observe(call());
    const text = await render();
    const shown = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
    const rows = Object.entries(METRICS as Record<string, MetricRow>).filter(([, row]) => row.from.includes(component));
    expect(shown).toEqual(rows.map(([name, { type }]) => [name, type]));
    for (const [name] of rows) expect(linesOf(text, name), name).not.toHaveLength(0);
  }
});

test("`render` forgets a volume that is gone, and the trouble that is over", async () => {
  let volumes: VolumeSample[] = [SAMPLE];
  const { render } = metrics({ volumes: async () => volumes });
  await render();
  volumes = [{ ...SAMPLE, troubles: [], state: "silent", status: undefined, claim: undefined }];
  const silent = await render();
  expect(linesOf(silent, "bucketmount_volume_trouble")).toEqual([]);
  expect(linesOf(silent, "bucketmount_volume_dirty_bytes")).toEqual([]);
  expect(silent).toContain('bucketmount_volume_engine_state{volume_id="v1:\\"b\\"",pvc_namespace="",pvc_name="",state="silent"} 1');
  volumes = [];
  expect(linesOf(await render(), "bucketmount_volume_")).toEqual([]);
});

test("`render` leaves out what the plugin cannot know: its store, Events", async () => {
  const bare = await metrics().render();
  expect(bare).not.toMatch(/bucketmount_store_up|bucketmount_kube_events_total/);
  const full = await metrics({ storeUp: async () => false, events: () => ({ recorded: 3, failed: 0 }) }).render();
  expect(full).toContain("bucketmount_store_up 0");
  expect(full).toContain('bucketmount_kube_events_total{result="recorded"} 3');
});

test("`render` answers without a part that fails, and says so in the log", async () => {
  const { log, render } = metrics({ volumes: () => Promise.reject(new Error("no")), storeUp: async () => true });
  const text = await render();
  expect(text).toContain("bucketmount_store_up 1");
  expect(text).toContain("process_resident_memory_bytes");
  expect(log.lines.map(({ level }) => level)).toEqual(["warn"]);
});

test("`render` asks once for scrapes at the same time, which else would see each other's half", async () => {
  let asked = 0;
  const { render } = metrics({
    volumes: async () => {
      asked++;
      return [SAMPLE];
    },
  });
  const [one, two] = await Promise.all([render(), render()]);
  expect(asked).toBe(1);
  expect(one).toBe(two);
});
