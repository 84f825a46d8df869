import { expect, test } from "vitest";
import { METRICS, type MetricRow, VOLUME_LABELS } from "#core/metrics.ts";

const rows = Object.entries(METRICS as Record<string, MetricRow>);

test("`METRICS` follows Prometheus' names: counters end in _total, a unit is the end of the name", () => {
  for (const [name, row] of rows) {
    expect(name, name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(name.endsWith("_total"), name).toBe(row.type === "counter");
    if (row.unit !== "") expect(name.replace(/_total$/, "").endsWith(`_${row.unit}`), name).toBe(true);
  }
});

test("`METRICS` gives every metric of a volume the labels of the volume, and none but the node serves them", () => {
  for (const [name, row] of rows.filter(([name]) => name.startsWith("bucketmount_volume_"))) {
    expect(row.labels.slice(0, VOLUME_LABELS.length), name).toEqual(VOLUME_LABELS);
    expect(row.from, name).toEqual(["node"]);
  }
});

test("`METRICS` gives buckets to histograms alone, in ascending order", () => {
  for (const [name, row] of rows) {
    expect(row.buckets !== undefined, name).toBe(row.type === "histogram");
    expect(row.buckets ?? [], name).toEqual((row.buckets ?? []).toSorted((a, b) => a - b));
  }
});

test("`METRICS` has csi_plugin_operations_seconds as csi-lib-utils has it", () => {
  const { type, labels, buckets } = METRICS.csi_plugin_operations_seconds;
  expect({ type, labels }).toEqual({ type: "histogram", labels: ["driver_name", "method_name", "grpc_status_code"] });
  expect(buckets).toEqual([0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600]);
});
