/** The Identity service, the same in controller and node: who is there, what it serves, whether it is ready. */
import { readFileSync } from "node:fs";
import type { CallContext, Handlers } from "./interceptors.ts";

/** The driver's name when nothing else is set: also that of the CSIDriver object. */
export const DRIVER_NAME = "s3.csi.bucketmount.dev";

/** From package.json, in the package's root: two folders above this file in `src` and in `dist`. */
export const DRIVER_VERSION: string = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;

export interface IdentityOptions {
  readonly name?: string;
  readonly version?: string;
  /** What the process serves beside Identity: `CONTROLLER_SERVICE` in every process, since it is the driver that has one. */
  readonly services: readonly ("CONTROLLER_SERVICE" | "VOLUME_ACCESSIBILITY_CONSTRAINTS" | "GROUP_CONTROLLER_SERVICE")[];
  readonly expansion?: "ONLINE" | "OFFLINE";
  /**
   * False: not ready now, such as with the store out of reach; answered as `ready: false`, never as an error, because an error
   * asks for a restart, which cures nothing there. A throw is answered as an error.
   */
  readonly ready?: (call: CallContext) => Promise<boolean>;
}

/** Handlers for "csi.v1.Identity". */
export function createIdentityHandlers(options: IdentityOptions): Handlers {
  const capabilities = [
    ...options.services.map((type) => ({ service: { type } })),
    ...(options.expansion === undefined ? [] : [{ volumeExpansion: { type: options.expansion } }]),
  ];
  return {
    GetPluginInfo: async () => ({ name: options.name ?? DRIVER_NAME, vendorVersion: options.version ?? DRIVER_VERSION, manifest: {} }),
    GetPluginCapabilities: async () => ({ capabilities }),
    Probe: async (_request, call) => ({ ready: { value: options.ready === undefined || (await options.ready(call)) } }),
  };
}
