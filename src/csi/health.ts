/**
 * /healthz and /readyz. Alive means that the plugin's own gRPC server answers on its socket, which is asked as the livenessprobe sidecar
 * would; whether the store does is told beside it and never makes liveness fail: a restart would cure nothing there.
 */
import { Client, credentials } from "@grpc/grpc-js";
import { DriverError } from "#core/errors.ts";
import { SingleFlight } from "#core/single-flight.ts";
import { type HttpAnswer, jsonAnswer } from "./http-server.ts";
import { loadService } from "./load.ts";
import type { StoreHealth } from "./store-health.ts";

export interface HealthOptions {
  /** Of the CSI socket. */
  readonly socketPath: string;
  /** What to tell of stores; absent, or undefined, where nobody can be asked: no store is configured and no volume mounted. */
  readonly stores?: (() => Promise<StoreHealth | undefined>) | undefined;
  /** Without it the plugin is not ready; absent where it does without. */
  readonly neededStore?: (() => Promise<StoreHealth>) | undefined;
  /** False: it is about to end. */
  readonly serving: () => boolean;
  readonly probeMs?: number;
}

export interface Health {
  healthz(): Promise<HttpAnswer>;
  readyz(): Promise<HttpAnswer>;
}

/** Its own store may take 2 s to be found missing, and a busy machine some more. */
const PROBE_MS = 5_000;

export function createHealth({ socketPath, stores, neededStore, serving, probeMs = PROBE_MS }: HealthOptions): Health {
  const probes = new SingleFlight<"probe", string | undefined>();
  const pluginTrouble = () =>
    probes.run("probe", () =>
      probe(socketPath, probeMs).then(
        () => undefined,
        (thrown: unknown) => `the CSI socket ${socketPath} does not answer: ${DriverError.from(thrown).message}`,
      ),
    );
  return {
    async healthz() {
      const [trouble, health] = await Promise.all([pluginTrouble(), stores?.()]);
      const detail = [trouble, health?.detail].filter((text) => text !== undefined).join("; ");
      return jsonAnswer(trouble === undefined ? 200 : 503, {
        plugin: trouble === undefined ? "ok" : "down",
        store: health === undefined ? "unknown" : health.up ? "ok" : "down",
        ...(detail === "" ? {} : { detail }),
      });
    },
    async readyz() {
      if (!serving()) return jsonAnswer(503, { ready: false, detail: "the plugin ends" });
      const health = await neededStore?.();
      if (health?.up === false) return jsonAnswer(503, { ready: false, detail: health.detail });
      return jsonAnswer(200, { ready: true });
    },
  };
}

/** Calls Probe over a connection of its own: one that was open before would not show that nobody accepts any more. */
async function probe(socketPath: string, deadlineMs: number): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = loadService("csi.v1.Identity")["Probe"] ?? missing();
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  try {
    await new Promise<void>((resolve, reject) => {
      const options = { deadline: Date.now() + deadlineMs };
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, options, (error) => {
        if (error === null) resolve();
        else reject(new DriverError("unavailable", error.details, { cause: error }));
      });
    });
  } finally {
    client.close();
  }
}

function missing(): never {
  throw new DriverError("internal", "proto/csi.proto has no Identity.Probe");
}
