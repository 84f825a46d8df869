import { readFileSync } from "node:fs";
import type { MethodDefinition } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { loadService } from "#csi/load.ts";
import { wireListing } from "../../support/wire-listing.ts";

const PROTO = readFileSync(new URL("../../../proto/csi.proto", import.meta.url), "utf8");

function roundTrip(service: Parameters<typeof loadService>[0], method: string, message: object): object {
  const { requestSerialize, requestDeserialize } = loadService(service)[method] as MethodDefinition<object, object>;
  return requestDeserialize(requestSerialize(message));
}

describe("proto/csi.proto", () => {
  test("has every message, field, number, type, enum value and RPC of the specification", async () => {
    // The golden file was compared with the descriptors of the specification's own Go module, v1.13.0.
    await expect(`${wireListing("csi.proto", "csi.v1").join("\n")}\n`).toMatchFileSnapshot("../../golden/csi-wire.txt");
  });

  test("marks as secret exactly the fields that core/log.ts redacts by name", () => {
    const marked = [...PROTO.matchAll(/(\w+) = \d+ \[[^\]]*csi_secret/g)].map(([, name]) => name);
    const named = [...PROTO.matchAll(/> secrets = \d+/g)];
    expect(new Set(marked)).toEqual(new Set(["secrets"]));
    expect(marked).toHaveLength(named.length);
  });
});

describe("proto/pluginregistration.proto", () => {
  test("has the facts of Kubernetes' plugin registration v1", () => {
    expect(wireListing("pluginregistration.proto", "pluginregistration")).toEqual([
      "message pluginregistration.InfoRequest",
      "message pluginregistration.PluginInfo",
      "message pluginregistration.RegistrationStatus",
      "message pluginregistration.RegistrationStatusResponse",
      "pluginregistration.PluginInfo.endpoint = 3 string",
      "pluginregistration.PluginInfo.name = 2 string",
      "pluginregistration.PluginInfo.supported_versions = 4 repeated string",
      "pluginregistration.PluginInfo.type = 1 string",
      "pluginregistration.RegistrationStatus.error = 2 string",
      "pluginregistration.RegistrationStatus.plugin_registered = 1 bool",
      "rpc pluginregistration.Registration/GetInfo pluginregistration.InfoRequest -> pluginregistration.PluginInfo",
      "rpc pluginregistration.Registration/NotifyRegistrationStatus pluginregistration.RegistrationStatus -> pluginregistration.RegistrationStatusResponse",
    ]);
  });
});

describe("loadService", () => {
  test("gives camelCase fields, numbers, enum names, the member of a oneof and defaults", () => {
    const request = {
      name: "pvc-1",
      capacityRange: { requiredBytes: 5 * 2 ** 40 },
      volumeCapabilities: [{ mount: { fsType: "x" }, accessMode: { mode: "SINGLE_NODE_SINGLE_WRITER" } }],
    };
    expect(roundTrip("csi.v1.Controller", "CreateVolume", request)).toMatchObject({
      name: "pvc-1",
      capacityRange: { requiredBytes: 5 * 2 ** 40, limitBytes: 0 },
      volumeCapabilities: [
        {
          accessType: "mount",
          mount: { fsType: "x", mountFlags: [], volumeMountGroup: "" },
          accessMode: { mode: "SINGLE_NODE_SINGLE_WRITER" },
        },
      ],
      parameters: {},
      secrets: {},
      volumeContentSource: null,
    });
  });

  test("keeps an enum value of a later specification as its number", () => {
    // field 3 (access_mode) of field 3 (volume_capabilities): { mode: 99 }
    const bytes = Buffer.from([0x1a, 0x04, 0x1a, 0x02, 0x08, 99]);
    const { requestDeserialize } = loadService("csi.v1.Controller").CreateVolume as MethodDefinition<object, object>;
    expect(requestDeserialize(bytes)).toMatchObject({ volumeCapabilities: [{ accessMode: { mode: 99 } }] });
  });

  test("reads the largest int64 as a large positive number", () => {
    // field 2 (capacity_range): { limit_bytes: 2^63 - 1 }
    const bytes = Buffer.from([0x12, 0x0a, 0x10, ...Array.from({ length: 8 }, () => 0xff), 0x7f]);
    const { requestDeserialize } = loadService("csi.v1.Controller").CreateVolume as MethodDefinition<object, object>;
    expect(requestDeserialize(bytes)).toMatchObject({ capacityRange: { limitBytes: 2 ** 63 } });
  });
});
