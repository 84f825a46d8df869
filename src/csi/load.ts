/**
 * The wire contracts, loaded from `proto/` at start.
 *
 * How a message looks in TypeScript:
 * - fields in camelCase (`volumeId`), all present: scalars with proto3's default, lists and maps empty, messages null;
 * - int64 as number: byte counts stay below 2^53 (8 PiB), and validate.ts refuses larger ones by name;
 * - enums as their names ("MULTI_NODE_MULTI_WRITER"); a number that this version does not know stays a number;
 * - a oneof has one more field that names the member that is set (`accessType: "mount"`).
 */
import { fileURLToPath } from "node:url";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type Options, type PackageDefinition } from "@grpc/proto-loader";
import { DriverError } from "#core/errors.ts";

const OPTIONS: Options = { keepCase: false, longs: Number, enums: String, bytes: Buffer, defaults: true, oneofs: true };

/** Both protos, in the package's root: two folders above this file in `src` and in `dist`. */
const PROTO_FILES = {
  "csi.v1": fileURLToPath(new URL("../../proto/csi.proto", import.meta.url)),
  pluginregistration: fileURLToPath(new URL("../../proto/pluginregistration.proto", import.meta.url)),
} as const;

export type ServiceName =
  | "csi.v1.Identity"
  | "csi.v1.Controller"
  | "csi.v1.Node"
  | "csi.v1.GroupController"
  | "csi.v1.SnapshotMetadata"
  | "pluginregistration.Registration";

const loaded = new Map<string, PackageDefinition>();

/** All messages and services of one proto package; parsed once. */
export function loadPackage(name: keyof typeof PROTO_FILES): PackageDefinition {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const definition = loadSync(PROTO_FILES[name], OPTIONS);
  loaded.set(name, definition);
  return definition;
}

/** The service of this full name, for a server or a client. */
export function loadService(name: ServiceName): ServiceDefinition {
  const definition = loadPackage(name.startsWith("csi.v1.") ? "csi.v1" : "pluginregistration")[name];
  if (definition === undefined || "format" in definition) throw new DriverError("internal", `proto/ has no service ${name}`);
  return definition;
}
