/** `--kube-events`: what both plugins need to record Events, and what they say about themselves. */
import { hostname } from "node:os";
import { CAUSES, explain } from "#core/causes.ts";
import { systemClock } from "#core/clock.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { ClaimFinder } from "#kube/claims.ts";
import { createEventRecorder, type EventRecorder, type EventTarget } from "#kube/event-recorder.ts";
import { createKubeApi } from "#kube/kube-api.ts";
import { parsing } from "./usage-error.ts";

export interface PluginEvents {
  readonly recorder: EventRecorder;
  readonly claims: ClaimFinder;
  /** The driver's own store went, or came back: told on our pod, whose probes say no more than a number. */
  onStoreChange(report: TroubleReport): void;
  /** Gives what is recorded a moment to go out. */
  close(): Promise<void>;
}

export interface PluginEventsOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly driverName: string;
  /** Who speaks; default this pod. */
  readonly host?: string;
  readonly log: Logger;
}

/** A plugin's end is waited for. */
const DRAIN_MS = 2_000;

/** Throws a usage error where there is no Kubernetes API. */
export function createPluginEvents({ env, driverName, host, log }: PluginEventsOptions): PluginEvents {
  const api = parsing(() => createKubeApi({ env }));
  const common = { api, log, clock: systemClock };
  const recorder = createEventRecorder({ ...common, component: driverName, host: host ?? env["POD_NAME"] ?? hostname() });
  const pod = podOf(env);
  return {
    recorder,
    claims: new ClaimFinder({ ...common, driverName }),
    onStoreChange: (report) => {
      if (pod !== undefined) recorder.record({ about: pod, ...storeNote(report) });
    },
    close: () => recorder.drain(DRAIN_MS),
  };
}

/** As the downward API gives them; a plugin outside a cluster has no pod. */
function podOf(env: NodeJS.ProcessEnv): EventTarget | undefined {
  const { POD_NAME: name, POD_NAMESPACE: namespace, POD_UID: uid } = env;
  return name && namespace ? { kind: "Pod", namespace, name, uid } : undefined;
}

function storeNote(report: TroubleReport) {
  const { reason } = CAUSES[report.cause];
  return report.type === "trouble"
    ? { type: "Warning" as const, reason, message: explain(report.message, report.cause) }
    : { type: "Normal" as const, reason: "Recovered", message: `the driver's store answers: ${reason} is over` };
}
