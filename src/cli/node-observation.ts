/** What a node plugin shows of itself and of its volumes: its pages, and Events on claims and pods. */
import type { Cause } from "#core/causes.ts";
import { systemClock } from "#core/clock.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import type { FinishedCall } from "#csi/interceptors.ts";
import { createStoreHealth, type StoreHealth } from "#csi/store-health.ts";
import type { Supervised } from "#node/staged-volumes.ts";
import { VolumeEvents } from "#node/volume-events.ts";
import { sampleVolumes } from "#node/volume-samples.ts";
import { VolumeTroubles } from "#node/volume-troubles.ts";
import { createStorePing } from "#s3/index.ts";
import { createPluginEvents } from "./plugin-events.ts";
import { createPluginPages } from "./plugin-pages.ts";
import type { StoreLocation } from "./store-settings.ts";
import { parsing } from "./usage-error.ts";

export interface NodeObservation {
  /** For startCsiServer's `onCall`. */
  onCall(call: FinishedCall): void;
  /** For the node's services. */
  onTrouble(volumeId: string, report: TroubleReport): void;
  /** Serves the pages, if there are any. */
  serve(): Promise<void>;
  /** The plugin is about to end: no longer ready. */
  end(): void;
  close(): Promise<void>;
}

export interface NodeObservationOptions {
  readonly flags: { readonly endpoint: string; readonly nodeId: string; readonly httpEndpoint?: string; readonly kubeEvents?: boolean };
  readonly driverName: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** The driver's own store. */
  readonly location: StoreLocation;
  /** Of the node's services. */
  readonly volumes: () => readonly Supervised[];
}

/** With these a store is down, as far as a volume can tell; with others it answers, only not as the volume's users want. */
const STORE_DOWN: readonly Cause[] = [
  ...(["connection_refused", "unknown_host", "dns_failing", "unreachable", "store_failing"] as const),
  ...(["untrusted_certificate", "invalid_certificate", "no_tls", "not_http"] as const),
];

/** Throws a usage error for flags that cannot be had. */
export async function observeNode({ flags, driverName, env, log, location, volumes }: NodeObservationOptions): Promise<NodeObservation> {
  const events = flags.kubeEvents ? createPluginEvents({ env, driverName, host: flags.nodeId, log }) : undefined;
  const volumeEvents = events && new VolumeEvents({ ...events, nodeId: flags.nodeId });
  const troubles = new VolumeTroubles();
  const ping = location.endpoint === undefined && location.region === undefined ? undefined : parsing(() => createStorePing(location));
  const ownStore = ping && createStoreHealth({ ping: ping.ping, clock: systemClock, log, onChange: events?.onStoreChange });
  const samples = () => {
    const present = volumes();
    troubles.keepOnly(present.map(({ mount }) => mount.volumeId));
    const troublesOf = (volumeId: string) => troubles.of(volumeId).map(({ cause }) => cause);
    return sampleVolumes(present, { troublesOf, claimOf: volumeEvents && ((volumeId) => volumeEvents.claimOf(volumeId)) });
  };
  const pages =
    flags.httpEndpoint === undefined
      ? undefined
      : await createPluginPages({
          ...{ component: "node", driverName, log, endpoint: flags.endpoint, httpEndpoint: flags.httpEndpoint },
          ...{ ownStore, needsStore: false, stores: () => storesOf(volumes(), troubles, ownStore), volumes: samples },
          events: events && (() => events.recorder.counts()),
        });
  return {
    onCall(call) {
      pages?.onCall(call);
      volumeEvents?.onCall(call);
    },
    onTrouble(volumeId, report) {
      troubles.note(volumeId, report);
      volumeEvents?.onTrouble(volumeId, report);
    },
    serve: async () => pages?.serve(),
    end: () => pages?.end(),
    async close() {
      await Promise.all([pages?.close(), events?.close(), ping?.close()]);
    },
  };
}

/** The driver's own store, and those of the volumes. Undefined where there is neither. */
async function storesOf(
  volumes: readonly Supervised[],
  troubles: VolumeTroubles,
  ownStore: (() => Promise<StoreHealth>) | undefined,
): Promise<StoreHealth | undefined> {
  const own = await ownStore?.();
  if (own === undefined && volumes.length === 0) return undefined;
  const ids = volumes.map(({ mount }) => mount.volumeId);
  const down = ids.flatMap((id) =>
    troubles.of(id).flatMap(({ cause, message }) => (STORE_DOWN.includes(cause) ? [`${id}: ${message}`] : [])),
  );
  const details = [...(own?.detail === undefined ? [] : [own.detail]), ...down];
  if (details.length === 0) return { up: true };
  return { up: false, detail: details.join("; ") };
}
