/**
 * `/metrics`: the table of core/metrics.ts, filled by prom-client. What has its state elsewhere (volumes, Events, the store) is asked at each
 * scrape; only the durations of calls are kept here.
 */
import { readdirSync } from "node:fs";
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { ENGINE_STATES, type EngineState, METRICS, type MetricName, type MetricRow } from "#core/metrics.ts";
import { SingleFlight } from "#core/single-flight.ts";
import type { FinishedCall } from "./interceptors.ts";

/** What a scrape knows of one volume. */
export interface VolumeSample {
  readonly volumeId: string;
  readonly claim?: { readonly namespace: string; readonly name: string } | undefined;
  readonly bucket: string;
  readonly prefix: string;
  readonly state: EngineState;
  readonly restarts: number;
  /** Causes of present trouble. */
  readonly troubles: readonly string[];
  /** Absent when its engine did not answer. */
  readonly status?: VolumeStatus | undefined;
}

/** Of an engine's status, what is measured. */
export interface VolumeStatus {
  readonly takeovers: number;
  readonly dirtyFiles: number;
  readonly dirtyBytes: number;
  readonly openHandles: number;
  readonly inodes: number;
  readonly cache: {
    readonly bytes: number;
    readonly limitBytes: number;
    readonly files: number;
    readonly hits: number;
    readonly misses: number;
  };
  readonly requests: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly retries: number;
  readonly rssBytes: number;
}

export interface MetricsOptions {
  readonly component: "controller" | "node";
  readonly driverName: string;
  readonly version: string;
  readonly log: Logger;
  /** Is the driver's own store there; absent where it has none. Never takes longer than a scrape may. */
  readonly storeUp?: (() => Promise<boolean>) | undefined;
  /** Absent where no Events are recorded. */
  readonly events?: (() => Readonly<Record<string, number>>) | undefined;
  /** Never takes longer than a scrape may, whatever state an engine is in. */
  readonly volumes?: (() => Promise<readonly VolumeSample[]>) | undefined;
}

export interface Metrics {
  /** For startCsiServer's `onCall`. */
  observe(call: FinishedCall): void;
  /** In Prometheus' text format. Scrapes at the same time share one answer. */
  render(): Promise<string>;
}

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

type Labels = Readonly<Record<string, string>>;
type Series = Counter | Gauge | Histogram;

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const series = registerAll(registry, options);
  const renders = new SingleFlight<"render", string>();
  const loop = new LoopShare();
  const set = (name: MetricName, labels: Labels, value: number) => setValue(series.get(name), labels, value);
  set("bucketmount_build_info", { version: options.version, component: options.component }, 1);

  async function render(): Promise<string> {
    const [volumes, storeUp] = await Promise.all([asked(options, "volumes", []), asked(options, "storeUp", undefined)]);
    for (const [name, one] of series) if (isAsked(name)) one.reset();
    if (storeUp !== undefined) set("bucketmount_store_up", {}, storeUp ? 1 : 0);
    for (const [result, count] of Object.entries(options.events?.() ?? {})) set("bucketmount_kube_events_total", { result }, count);
    for (const volume of volumes) for (const [name, labels, value] of samplesOf(volume)) set(name, labels, value);
    for (const [name, value] of processSamples(loop)) set(name, {}, value);
    return registry.metrics();
  }

  return {
    observe({ path, code, seconds }) {
      const labels = { driver_name: options.driverName, method_name: path, grpc_status_code: code };
      (series.get("csi_plugin_operations_seconds") as Histogram).observe(labels, seconds);
    },
    render: () => renders.run("render", render),
  };
}

/** Everything but what is kept between scrapes. */
function isAsked(name: MetricName): boolean {
  return name !== "csi_plugin_operations_seconds" && name !== "bucketmount_build_info";
}

/** One part that cannot be had leaves the others as they are. */
async function asked<Name extends "volumes" | "storeUp", T>(options: MetricsOptions, name: Name, fallback: T) {
  type Value = Awaited<ReturnType<NonNullable<MetricsOptions[Name]>>>;
  try {
    return ((await options[name]?.()) ?? fallback) as Value | T;
  } catch (error) {
    options.log.warn({ error: DriverError.from(error), part: name }, "a part of the metrics cannot be had");
    return fallback;
  }
}

/** The table's rows for this plugin. One that can never have a value is left out: without labels it would say 0. */
function registerAll(registry: Registry, { component, storeUp, events }: MetricsOptions): ReadonlyMap<MetricName, Series> {
  const isServed = (name: string, row: MetricRow) =>
    row.from.includes(component) &&
    (name !== "bucketmount_store_up" || storeUp !== undefined) &&
    (name !== "bucketmount_kube_events_total" || events !== undefined);
  const rows = Object.entries(METRICS as Record<string, MetricRow>).filter(([name, row]) => isServed(name, row));
  return new Map(rows.map(([name, row]) => [name as MetricName, register(registry, name, row)]));
}

function register(registry: Registry, name: string, { type, help, labels, buckets }: MetricRow): Series {
  const common = { name, help, labelNames: [...labels], registers: [registry] };
  if (type === "counter") return new Counter(common);
  if (type === "gauge") return new Gauge(common);
  return new Histogram({ ...common, buckets: [...(buckets ?? [])] });
}

function setValue(series: Series | undefined, labels: Labels, value: number): void {
  // A counter was set to 0 before: it shows what somebody else counts.
  if (series instanceof Counter) series.inc(labels, value);
  else if (series instanceof Gauge) series.set(labels, value);
}

type Sample = readonly [name: MetricName, labels: Labels, value: number];

function samplesOf({ volumeId, claim, bucket, prefix, state, restarts, troubles, status }: VolumeSample): readonly Sample[] {
  const own = { volume_id: volumeId, pvc_namespace: claim?.namespace ?? "", pvc_name: claim?.name ?? "" };
  const states = Object.keys(ENGINE_STATES) as EngineState[];
  return [
    ["bucketmount_volume_info", { ...own, bucket, prefix }, 1],
    ...states.map((one): Sample => ["bucketmount_volume_engine_state", { ...own, state: one }, one === state ? 1 : 0]),
    ["bucketmount_volume_engine_restarts_total", own, restarts],
    ...troubles.map((cause): Sample => ["bucketmount_volume_trouble", { ...own, cause }, 1]),
    ...(status === undefined ? [] : statusSamples(own, status)),
  ];
}

function statusSamples(own: Labels, status: VolumeStatus): readonly Sample[] {
  const { cache, requests, errors } = status;
  return [
    ["bucketmount_volume_engine_takeovers", own, status.takeovers],
    ["bucketmount_volume_dirty_bytes", own, status.dirtyBytes],
    ["bucketmount_volume_dirty_files", own, status.dirtyFiles],
    ["bucketmount_volume_cache_bytes", own, cache.bytes],
    ["bucketmount_volume_cache_limit_bytes", own, cache.limitBytes],
    ["bucketmount_volume_cache_files", own, cache.files],
    ["bucketmount_volume_cache_hits_total", own, cache.hits],
    ["bucketmount_volume_cache_misses_total", own, cache.misses],
    ...Object.entries(requests).map(([operation, n]): Sample => ["bucketmount_volume_s3_requests_total", { ...own, operation }, n]),
    ...Object.entries(errors).map(([fault, n]): Sample => ["bucketmount_volume_s3_errors_total", { ...own, fault }, n]),
    ["bucketmount_volume_s3_retries_total", own, status.retries],
    ["bucketmount_volume_open_handles", own, status.openHandles],
    ["bucketmount_volume_inodes", own, status.inodes],
    ["bucketmount_volume_engine_resident_memory_bytes", own, status.rssBytes],
  ];
}

function processSamples(loop: LoopShare): readonly (readonly [MetricName, number])[] {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return [
    ["process_cpu_seconds_total", (user + system) / 1e6],
    ["process_resident_memory_bytes", rss],
    ["process_start_time_seconds", performance.timeOrigin / 1000],
    ["process_open_fds", readdirSync("/proc/self/fd").length],
    ["nodejs_heap_size_used_bytes", heapUsed],
    ["nodejs_eventloop_utilization", loop.sinceLast()],
  ];
}

/** The event loop's busy share between one question and the next. */
class LoopShare {
  #last: EventLoopUtilization = performance.eventLoopUtilization();

  sinceLast(): number {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    return utilization;
  }
}
