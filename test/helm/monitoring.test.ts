// Alerts, dashboard and monitors name metrics and labels that the plugins serve, on ports that are there.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { METRICS, type MetricRow } from "#core/metrics.ts";
import { CHART, only, render, workload } from "../support/helm-chart.ts";

interface Query {
  readonly from: string;
  readonly text: string;
}

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Board {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}

const alerts = only(render("everything"), "PrometheusRule")["spec"].groups[0].rules as Alert[];
const board = JSON.parse(only(render("everything"), "ConfigMap", "-dashboard")["data"]["bucketmount.json"]) as Board;

const QUERIES: readonly Query[] = [
  ...alerts.map(({ alert, expr }) => ({ from: alert, text: expr })),
  ...board.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ from: title, text: expr }))),
];

/** A histogram's series have endings of their own. */
function metricOf(series: string): MetricRow | undefined {
  const rows: Readonly<Record<string, MetricRow>> = METRICS;
  const found = rows[series];
  if (found !== undefined) return found.type === "histogram" ? undefined : found;
  const base = rows[series.replace(/_(bucket|count|sum)$/, "")];
  return base?.type === "histogram" ? base : undefined;
}

/** Labels that the scraping adds. */
const SCRAPED = ["namespace", "pod", "node", "le"];

describe.each(QUERIES)("$from: $text", ({ text }) => {
  const series = [...text.matchAll(/\b((?:bucketmount|csi|process|nodejs)_[a-z0-9_]+)(?:\{([^}]*)\})?/g)];

  it("asks for metrics that are served, by labels that they have", () => {
    expect(series.length).toBeGreaterThan(0);
    for (const [, name = "", matchers = ""] of series) {
      const metric = metricOf(name);
      expect(metric, name).toBeDefined();
      const labels = [...matchers.matchAll(/([a-z_]+)(?==~?"|!=|!~)/g)].map((match) => match[1]);
      for (const label of labels) expect(metric?.labels, name).toContain(label);
    }
  });

  it("groups by labels that the metrics have", () => {
    const labels = [...text.matchAll(/by \(([^)]+)\)/g)].flatMap((match) => (match[1] ?? "").split(", "));
    const known = [...SCRAPED, ...series.flatMap(([, name = ""]) => metricOf(name)?.labels ?? [])];
    expect(labels.filter((label) => !known.includes(label))).toEqual([]);
  });
});

describe("alerts", () => {
  it("name a severity, say what it means, and show labels that they keep", () => {
    expect(alerts.length).toBeGreaterThan(5);
    for (const { alert, expr, labels, annotations } of alerts) {
      expect(labels["severity"], alert).toMatch(/^(critical|warning)$/);
      expect(Object.keys(annotations)).toEqual(["summary", "description"]);
      const shown = [
        ...Object.values(annotations)
          .join(" ")
          .matchAll(/\$labels\.([a-z_]+)/g),
      ].map((match) => match[1] ?? "");
      const kept = /by \(([^)]+)\)/.exec(expr)?.[1]?.split(", ") ?? [];
      expect(
        shown.filter((label) => !kept.includes(label)),
        alert,
      ).toEqual([]);
    }
  });

  it("are about the driver under its own name", () => {
    expect(JSON.stringify(alerts)).toContain('driver_name=\\"s3.example.com\\"');
    expect(JSON.stringify(alerts)).not.toContain("DRIVER_NAME");
  });
});

it("the dashboard's panels have numbers of their own and do not lie on each other", () => {
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) => {
    expect(x + w).toBeLessThanOrEqual(24);
    return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
  });
  expect(new Set(cells).size).toBe(cells.length);
});

it("the dashboard comes into the cluster as the file has it, for Grafana's sidecar to find", () => {
  expect(board).toEqual(JSON.parse(readFileSync(`${CHART}/files/dashboard.json`, "utf8")));
  expect(only(render("everything"), "ConfigMap", "-dashboard").metadata).toMatchObject({
    labels: { grafana_dashboard: "1" },
    annotations: { grafana_folder: "Storage" },
  });
});

it.each(["controller", "node"])("the monitor of the %s finds its Service, and that the pods' ports", (component) => {
  const manifests = render("everything");
  const monitor = only(manifests, "ServiceMonitor", `-${component}`);
  const service = only(manifests, "Service", `-${component}-metrics`);
  const { manifest, pod } = workload(manifests, component);
  expect(monitor.metadata.labels).toMatchObject({ release: "prometheus" });
  expect(service.metadata.labels).toMatchObject(monitor["spec"].selector.matchLabels);
  expect(monitor["spec"].namespaceSelector.matchNames).toEqual([service.metadata.namespace]);
  expect(manifest["spec"].template.metadata.labels).toMatchObject(service["spec"].selector);
  const names = (ports: readonly { readonly name: string }[]) => ports.map(({ name }) => name);
  expect(names(service["spec"].ports)).toEqual(monitor["spec"].endpoints.map((endpoint: { port: string }) => endpoint.port));
  const numbers = pod.containers.flatMap((one: { ports: { name: string; containerPort: number }[] }) => one.ports);
  for (const { name, port } of service["spec"].ports) expect(numbers).toContainEqual({ name, containerPort: port });
});
