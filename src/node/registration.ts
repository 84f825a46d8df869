/**
 * How the kubelet finds this plugin: it watches its `plugins_registry` folder, asks each socket there who it is, and tells
 * whether it took it. So no sidecar is needed.
 */
import { join } from "node:path";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { DRIVER_NAME } from "#csi/identity.ts";
import { type CsiServer, parseEndpoint, startCsiServer } from "#csi/server.ts";

export interface RegistrationOptions {
  /** The kubelet's `plugins_registry`, usually /var/lib/kubelet/plugins_registry. */
  readonly dir: string;
  /** The CSI endpoint as the kubelet sees it: the same path on the host and here. */
  readonly endpoint: string;
  readonly driverName?: string;
  readonly log: Logger;
}

/** CSI keeps one version for all of 1.x; the kubelet compares the first number. */
const SUPPORTED_VERSIONS = ["1.0.0"];

/** Serves the registration socket `NAME-reg.sock` until closed: the kubelet asks again after its own restarts. Faults as startCsiServer's. */
export function serveRegistration({ dir, endpoint, driverName = DRIVER_NAME, log }: RegistrationOptions): Promise<CsiServer> {
  const socketPath = parseEndpoint(endpoint);
  const registration = {
    GetInfo: async () => ({ type: "CSIPlugin", name: driverName, endpoint: socketPath, supportedVersions: SUPPORTED_VERSIONS }),
    NotifyRegistrationStatus: async ({ pluginRegistered, error }: { readonly pluginRegistered: boolean; readonly error: string }) => {
      if (pluginRegistered) log.info({ driverName }, "the kubelet has registered the plugin");
      else log.error({ driverName, error: new DriverError("precondition", error) }, "the kubelet refused to register the plugin");
      return {};
    },
  };
  return startCsiServer({
    endpoint: join(dir, `${driverName}-reg.sock`),
    services: { "pluginregistration.Registration": registration },
    log,
  });
}
