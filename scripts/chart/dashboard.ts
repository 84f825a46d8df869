/** The Grafana dashboard of the chart, as a table of panels. Metric names are src/core/metrics.ts's; the chart's tests compare them. */
import { jsonText } from "./json-text.ts";

interface Panel {
  readonly title: string;
  /** What is to be read from it. */
  readonly about: string;
  readonly unit?: "s" | "bytes" | "reqps" | "ops" | "percentunit";
  readonly kind?: "stat";
  /** PromQL -> legend. */
  readonly queries: Readonly<Record<string, string>>;
}

/** Volumes by their claims, or by their handles where nobody knows the claim. */
const VOLUME = "{{pvc_namespace}}/{{pvc_name}} {{volume_id}}";
const CHOSEN = 'pvc_namespace=~"$claim_namespace"';
const BY_VOLUME = "volume_id, pvc_namespace, pvc_name";

/** Panels of a row stand side by side. */
const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  Driver: [
    {
      title: "Store",
      about: "0: some plugin cannot reach the driver's own store.",
      kind: "stat",
      queries: { "min(bucketmount_store_up)": "up" },
    },
    { title: "Volumes", about: "Staged volumes on all nodes.", kind: "stat", queries: { "count(bucketmount_volume_info)": "staged" } },
    {
      title: "Versions",
      about: "More than one while an upgrade is under way.",
      kind: "stat",
      queries: { "count by (component, version) (bucketmount_build_info)": "{{component}} {{version}}" },
    },
    {
      title: "Engines that do not serve",
      about: "silent: busy or stuck; restarting: crashed, its successor starts; ended: the mount is gone.",
      kind: "stat",
      queries: { 'sum by (state) (bucketmount_volume_engine_state{state!="serving"})': "{{state}}" },
    },
  ],
  "CSI calls": [
    {
      title: "Failed calls",
      about: "By method and gRPC code. Aborted is a call that found another one under way: it is made again.",
      unit: "ops",
      queries: {
        'sum by (method_name, grpc_status_code) (rate(csi_plugin_operations_seconds_count{grpc_status_code!="OK"}[$__rate_interval]))':
          "{{method_name}} {{grpc_status_code}}",
      },
    },
    {
      title: "Duration of calls, 95 of 100",
      about: "How long pods wait for their volumes.",
      unit: "s",
      queries: {
        "histogram_quantile(0.95, sum by (le, method_name) (rate(csi_plugin_operations_seconds_bucket[$__rate_interval])))":
          "{{method_name}}",
      },
    },
  ],
  Volumes: [
    {
      title: "Not in the bucket yet",
      about: "What was written and not sent. A line that does not come down is an upload that fails.",
      unit: "bytes",
      queries: { [`sum by (${BY_VOLUME}) (bucketmount_volume_dirty_bytes{${CHOSEN}})`]: VOLUME },
    },
    {
      title: "Trouble",
      about: "docs/TROUBLESHOOTING.md lists the causes.",
      queries: { [`sum by (cause, ${BY_VOLUME}) (bucketmount_volume_trouble{${CHOSEN}})`]: `{{cause}}: ${VOLUME}` },
    },
    {
      title: "Requests to the store",
      about: "Repeated ones included: what the store bills.",
      unit: "reqps",
      queries: { [`sum by (operation) (rate(bucketmount_volume_s3_requests_total{${CHOSEN}}[$__rate_interval]))`]: "{{operation}}" },
    },
    {
      title: "Errors of the store",
      about: "Without not_found, which is an ordinary answer.",
      unit: "reqps",
      queries: {
        [`sum by (fault) (rate(bucketmount_volume_s3_errors_total{${CHOSEN},fault!="not_found"}[$__rate_interval]))`]: "{{fault}}",
        [`sum(rate(bucketmount_volume_s3_retries_total{${CHOSEN}}[$__rate_interval]))`]: "made again",
      },
    },
    {
      title: "Opened files that were in the cache",
      about: "The rest was fetched.",
      unit: "percentunit",
      queries: {
        [`sum by (${BY_VOLUME}) (rate(bucketmount_volume_cache_hits_total{${CHOSEN}}[$__rate_interval])) / (sum by (${BY_VOLUME}) (rate(bucketmount_volume_cache_hits_total{${CHOSEN}}[$__rate_interval])) + sum by (${BY_VOLUME}) (rate(bucketmount_volume_cache_misses_total{${CHOSEN}}[$__rate_interval])))`]:
          VOLUME,
      },
    },
    {
      title: "Cache on the nodes' disks",
      about: "At its limit it is full of what was used last, which is as it should be.",
      unit: "bytes",
      queries: {
        [`sum by (pod) (bucketmount_volume_cache_bytes{${CHOSEN}})`]: "{{pod}}",
        [`sum by (pod) (bucketmount_volume_cache_limit_bytes{${CHOSEN}})`]: "{{pod}} limit",
      },
    },
  ],
  Engines: [
    {
      title: "Memory of engines",
      about: "One engine a volume and node, all in the node plugin's container.",
      unit: "bytes",
      queries: { [`sum by (pod, ${BY_VOLUME}) (bucketmount_volume_engine_resident_memory_bytes{${CHOSEN}})`]: `{{pod}} ${VOLUME}` },
    },
    {
      title: "Crashes of engines",
      about: "Each was taken over by a successor: a pause for the pods.",
      queries: { [`sum by (${BY_VOLUME}) (increase(bucketmount_volume_engine_restarts_total{${CHOSEN}}[$__rate_interval]))`]: VOLUME },
    },
  ],
};

const WIDTH = 24;
const HEIGHTS = { stat: 4, timeseries: 8 } as const;
const SOURCE = { type: "prometheus", uid: "$datasource" };

function panelOf({ title, about, unit, kind, queries }: Panel, id: number, x: number, y: number, width: number): object {
  const type = kind ?? "timeseries";
  return {
    ...{ id, type, title, description: about, datasource: SOURCE },
    gridPos: { x, y, w: width, h: HEIGHTS[type] },
    fieldConfig: { defaults: { unit: unit ?? "short", min: 0 }, overrides: [] },
    targets: Object.entries(queries).map(([expr, legendFormat], index) => ({
      refId: String.fromCodePoint(65 + index),
      expr,
      legendFormat,
    })),
  };
}

/** Rows from the top; at most two graphs, or all numbers, beside each other. */
function panels(): object[] {
  const out: object[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(ROWS)) {
    out.push({ id: out.length + 1, type: "row", title, collapsed: false, panels: [], gridPos: { x: 0, y, w: WIDTH, h: 1 } });
    y += 1;
    const [kind, side] = row[0]?.kind === "stat" ? (["stat", row.length] as const) : (["timeseries", 2] as const);
    for (const [index, panel] of row.entries()) {
      const width = WIDTH / side;
      out.push(panelOf(panel, out.length + 1, (index % side) * width, y, width));
      if ((index + 1) % side === 0) y += HEIGHTS[kind];
    }
  }
  return out;
}

export function dashboard(): string {
  return jsonText({
    ...{ uid: "bucketmount", title: "bucketmount", tags: ["csi", "s3"], schemaVersion: 39, editable: true },
    time: { from: "now-6h", to: "now" },
    refresh: "1m",
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus" },
        {
          ...{ name: "claim_namespace", label: "Namespace of the claim", type: "query", datasource: SOURCE },
          query: "label_values(bucketmount_volume_info, pvc_namespace)",
          ...{ includeAll: true, multi: true, allValue: ".*", refresh: 2 },
        },
      ],
    },
    panels: panels(),
  });
}
