/**
 * Every metric of the two plugins in one table: what `/metrics` serves (`csi/metrics.ts`), what docs/METRICS.md lists, and what
 * dashboards and alerts may name.
 *
 * Names follow Prometheus (unit at the end, `_total` for counters). The labels of a volume are its handle and, where Events are on
 * and so the claim could be looked up, the claim's namespace and name: `pvc_...`, since `namespace` is the scraped pod's.
 */
export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly unit: "seconds" | "bytes" | "";
  /** stable: name, labels and meaning stay within a major version; alpha: may change with any version. */
  readonly stability: "stable" | "alpha";
  readonly labels: readonly string[];
  /** Which plugins serve it. */
  readonly from: readonly ("controller" | "node")[];
  readonly help: string;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

const BOTH = ["controller", "node"] as const;
const NODE = ["node"] as const;

/** On every metric of a volume. Empty where nobody knows the claim. */
export const VOLUME_LABELS = ["volume_id", "pvc_namespace", "pvc_name"] as const;

/** What an engine can be, for `bucketmount_volume_engine_state`: one of them is 1. */
export const ENGINE_STATES = {
  serving: "it answered this scrape",
  silent: "it runs and did not answer within the scrape's deadline",
  restarting: "it crashed and its successor is starting",
  ended: "the mount is gone",
} as const;
export type EngineState = keyof typeof ENGINE_STATES;

/** The buckets of csi-lib-utils, so that dashboards made for other drivers fit. */
const CSI_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600] as const;

function ofVolume<const T extends Omit<MetricRow, "from" | "labels" | "unit" | "stability"> & Partial<MetricRow>>(row: T) {
  return { unit: "", stability: "stable", from: NODE, ...row, labels: [...VOLUME_LABELS, ...(row.labels ?? [])] } as const;
}

export const METRICS = {
  csi_plugin_operations_seconds: {
    type: "histogram",
    unit: "seconds",
    stability: "stable",
    labels: ["driver_name", "method_name", "grpc_status_code"],
    from: BOTH,
    buckets: CSI_BUCKETS,
    help: "Duration of CSI calls: method_name as /csi.v1.Node/NodeStageVolume, grpc_status_code as OK or NotFound",
  },
  bucketmount_build_info: {
    type: "gauge",
    unit: "",
    stability: "stable",
    labels: ["version", "component"],
    from: BOTH,
    help: "Always 1; the labels say which version of which plugin runs",
  },
  bucketmount_store_up: {
    type: "gauge",
    unit: "",
    stability: "stable",
    labels: [],
    from: BOTH,
    help: "1 when the driver's own store answered at the last look, 0 when not; absent where no store is configured for the driver",
  },
  bucketmount_kube_events_total: {
    type: "counter",
    unit: "",
    stability: "alpha",
    labels: ["result"],
    from: BOTH,
    help: "Kubernetes Events: recorded (created, or counted up at an earlier one), limited (left out by the rate limit), failed (the API did not take it)",
  },
  bucketmount_volume_info: ofVolume({
    type: "gauge",
    labels: ["bucket", "prefix"],
    help: "Always 1 for each volume that is staged on the node; the labels say where its files are",
  }),
  bucketmount_volume_engine_state: ofVolume({
    type: "gauge",
    labels: ["state"],
    help: `1 for the state that the volume's engine is in, 0 for the others: ${Object.keys(ENGINE_STATES).join(", ")}`,
  }),
  bucketmount_volume_engine_restarts_total: ofVolume({
    type: "counter",
    help: "How often the engine crashed and a successor took the mount over, in this plugin's life",
  }),
  bucketmount_volume_engine_takeovers: ofVolume({
    type: "gauge",
    help: "How many engines the mount had before the present one",
  }),
  bucketmount_volume_trouble: ofVolume({
    type: "gauge",
    labels: ["cause"],
    help: "1 while the volume has this trouble (docs/TROUBLESHOOTING.md lists the causes); absent when it has not",
  }),
  bucketmount_volume_dirty_bytes: ofVolume({
    type: "gauge",
    unit: "bytes",
    help: "Bytes that were written and are not in the bucket yet",
  }),
  bucketmount_volume_dirty_files: ofVolume({ type: "gauge", help: "Files that were written and are not in the bucket yet" }),
  bucketmount_volume_cache_bytes: ofVolume({ type: "gauge", unit: "bytes", help: "Disk space that cached content takes" }),
  bucketmount_volume_cache_limit_bytes: ofVolume({ type: "gauge", unit: "bytes", help: "Disk space that cached content may take" }),
  bucketmount_volume_cache_files: ofVolume({ type: "gauge", help: "Object versions in the cache" }),
  bucketmount_volume_cache_hits_total: ofVolume({ type: "counter", help: "Files that were in the cache when they were opened" }),
  bucketmount_volume_cache_misses_total: ofVolume({ type: "counter", help: "Files that were not in the cache when they were opened" }),
  bucketmount_volume_s3_requests_total: ofVolume({
    type: "counter",
    labels: ["operation"],
    help: "Requests to the store, repeated ones included; operation as GetObject",
  }),
  bucketmount_volume_s3_errors_total: ofVolume({
    type: "counter",
    labels: ["fault"],
    help: "Requests that failed, by fault (docs/ERRORS.md); not_found is an ordinary answer to a look-up",
  }),
  bucketmount_volume_s3_retries_total: ofVolume({ type: "counter", help: "Requests that were made again after a failure" }),
  bucketmount_volume_open_handles: ofVolume({ type: "gauge", help: "Open files and directories" }),
  bucketmount_volume_inodes: ofVolume({ type: "gauge", help: "Files and directories that the kernel holds a reference to" }),
  bucketmount_volume_engine_resident_memory_bytes: ofVolume({
    type: "gauge",
    unit: "bytes",
    help: "Resident memory of the volume's engine",
  }),
  process_cpu_seconds_total: {
    type: "counter",
    unit: "seconds",
    stability: "stable",
    labels: [],
    from: BOTH,
    help: "User and system time of the plugin's process, without the engines",
  },
  process_resident_memory_bytes: {
    type: "gauge",
    unit: "bytes",
    stability: "stable",
    labels: [],
    from: BOTH,
    help: "Resident memory of the plugin's process, without the engines",
  },
  process_start_time_seconds: {
    type: "gauge",
    unit: "seconds",
    stability: "stable",
    labels: [],
    from: BOTH,
    help: "When the plugin started, in seconds since the epoch",
  },
  process_open_fds: {
    type: "gauge",
    unit: "",
    stability: "stable",
    labels: [],
    from: BOTH,
    help: "Open descriptors of the plugin's process",
  },
  nodejs_heap_size_used_bytes: {
    type: "gauge",
    unit: "bytes",
    stability: "alpha",
    labels: [],
    from: BOTH,
    help: "JavaScript heap in use in the plugin's process",
  },
  nodejs_eventloop_utilization: {
    type: "gauge",
    unit: "",
    stability: "alpha",
    labels: [],
    from: BOTH,
    help: "Share of the time since the last scrape in which the plugin's event loop was busy, 0 to 1",
  },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
