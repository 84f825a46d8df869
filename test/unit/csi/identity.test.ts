import { expect, test } from "vitest";
import { silentLogger } from "#core/log.ts";
import { createIdentityHandlers, DRIVER_NAME, DRIVER_VERSION, type IdentityOptions } from "#csi/identity.ts";
import packageJson from "../../../package.json" with { type: "json" };

const call = { method: "x", signal: new AbortController().signal, deadlineAt: 0, log: silentLogger };
const ask = (method: string, options: IdentityOptions) => createIdentityHandlers(options)[method]?.({}, call);

test("`GetPluginInfo` answers a name that CSI allows and the package's version, or what was given", async () => {
  expect(DRIVER_NAME).toMatch(/^[a-z0-9][a-z0-9.-]{0,61}[a-z0-9]$/);
  expect(await ask("GetPluginInfo", { services: [] })).toEqual({ name: DRIVER_NAME, vendorVersion: packageJson.version, manifest: {} });
  expect(await ask("GetPluginInfo", { services: [], name: "x.y", version: "9" })).toMatchObject({ name: "x.y", vendorVersion: "9" });
  expect(DRIVER_VERSION).toBe(packageJson.version);
});

test("`GetPluginCapabilities` answers what the process serves", async () => {
  expect(await ask("GetPluginCapabilities", { services: ["CONTROLLER_SERVICE"], expansion: "ONLINE" })).toEqual({
    capabilities: [{ service: { type: "CONTROLLER_SERVICE" } }, { volumeExpansion: { type: "ONLINE" } }],
  });
});

test("`Probe` is ready by default, and as its check says otherwise", async () => {
  expect(await ask("Probe", { services: [] })).toEqual({ ready: { value: true } });
  expect(await ask("Probe", { services: [], ready: async () => false })).toEqual({ ready: { value: false } });
});
