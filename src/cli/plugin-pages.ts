/** `--http-endpoint`: /healthz, /readyz and /metrics of a plugin. What they need is loaded only where they are served. */
import type { Logger } from "#core/log.ts";
import { type HttpEndpoint, parseHttpEndpoint } from "#csi/http-endpoint.ts";
import { serveHttp } from "#csi/http-server.ts";
import { DRIVER_VERSION } from "#csi/identity.ts";
import type { FinishedCall } from "#csi/interceptors.ts";
import type { MetricsOptions } from "#csi/metrics.ts";
import { parseEndpoint } from "#csi/server.ts";
import type { StoreHealth } from "#csi/store-health.ts";
import { parsing } from "./usage-error.ts";

export interface PluginPages {
  /** For startCsiServer's `onCall`. */
  onCall(call: FinishedCall): void;
  /** Serves from now on. Throws when the address cannot be had. */
  serve(): Promise<void>;
  /** The plugin is about to end: no longer ready. */
  end(): void;
  close(): Promise<void>;
}

export interface PluginPagesOptions extends Pick<MetricsOptions, "component" | "driverName" | "events" | "volumes"> {
  readonly httpEndpoint: string;
  /** The CSI socket's, as on the command line. */
  readonly endpoint: string;
  readonly log: Logger;
  /** Of the driver's own store; absent where it has none. */
  readonly ownStore: (() => Promise<StoreHealth>) | undefined;
  /** What /healthz tells of stores; default the driver's own. */
  readonly stores?: () => Promise<StoreHealth | undefined>;
  /** Without its own store it is not ready. */
  readonly needsStore: boolean;
}

/** Nothing is served yet. Throws a usage error for a wrong address. */
export async function createPluginPages(options: PluginPagesOptions): Promise<PluginPages> {
  const { httpEndpoint, endpoint, log, ownStore, needsStore } = options;
  const address: HttpEndpoint = parsing(() => parseHttpEndpoint(httpEndpoint));
  const socketPath = parsing(() => parseEndpoint(endpoint));
  const [{ createMetrics, METRICS_CONTENT_TYPE }, { createHealth }] = await Promise.all([
    import("#csi/metrics.ts"),
    import("#csi/health.ts"),
  ]);
  let serving = true;
  let server: Awaited<ReturnType<typeof serveHttp>> | undefined;
  const storeUp = ownStore && (async () => (await ownStore()).up);
  const { component, driverName, events, volumes } = options;
  const metrics = createMetrics({ component, driverName, events, volumes, storeUp, version: DRIVER_VERSION, log });
  const health = createHealth({
    socketPath,
    stores: options.stores ?? ownStore,
    neededStore: needsStore ? ownStore : undefined,
    serving: () => serving,
  });
  const routes = {
    "/healthz": () => health.healthz(),
    "/readyz": () => health.readyz(),
    "/metrics": async () => ({ status: 200, contentType: METRICS_CONTENT_TYPE, body: await metrics.render() }),
  };
  return {
    onCall: metrics.observe,
    async serve() {
      server = await serveHttp({ endpoint: address, routes, log });
      log.info({ port: server.port }, "health and metrics are served");
    },
    end() {
      serving = false;
    },
    async close() {
      await server?.close();
    },
  };
}
