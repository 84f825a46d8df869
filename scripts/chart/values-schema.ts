/**
 * values.schema.json: what Helm refuses before it renders anything. Types come from the defaults in values.yaml, forms from the table
 * below, the StorageClasses' parameters from the controller's own table. A key that values.yaml does not have is refused.
 */
import { parametersSchema } from "../parameters-docs.ts";
import { jsonText } from "./json-text.ts";
import { parseValues, type Value } from "./values-tree.ts";

type Schema = Readonly<Record<string, unknown>>;

const TEXT: Schema = { type: "string" };
const TEXTS: Schema = { type: "array", items: TEXT };
/** Labels and annotations. */
const TEXT_MAP: Schema = { type: "object", additionalProperties: TEXT };
/** Kubernetes' own objects: the API server knows their form. */
const OBJECT: Schema = { type: "object" };
const OBJECTS: Schema = { type: "array", items: OBJECT };
const PORT: Schema = { type: "integer", minimum: 1, maximum: 65_535 };
const FOLDER: Schema = { type: "string", pattern: "^/.*[^/]$" };
const DURATION: Schema = { type: "string", pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" };
const LEVELS = ["error", "warn", "info", "debug"];
const NUMBER_OR_SHARE: Schema = { type: ["integer", "string"], minimum: 0, pattern: "^[0-9]+%$" };
const URL_OR_NONE: Schema = { type: "string", pattern: "^(https?://[^ ]+)?$" };

function strict(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return { type: "object", additionalProperties: false, ...(required.length > 0 ? { required } : {}), properties };
}

const RESOURCES = strict({ requests: OBJECT, limits: OBJECT, claims: OBJECTS });
const LEVEL_OR_COMMON: Schema = { type: "string", enum: ["", ...LEVELS] };

function strategy(...types: readonly string[]): Schema {
  return strict({ type: { type: "string", enum: types }, rollingUpdate: OBJECT }, ["type"]);
}

/** By path, or by its last part for what many groups have. */
const FORMS: Readonly<Record<string, Schema>> = {
  customLabels: TEXT_MAP,
  commonAnnotations: TEXT_MAP,
  labels: TEXT_MAP,
  annotations: TEXT_MAP,
  podLabels: TEXT_MAP,
  podAnnotations: TEXT_MAP,
  nodeSelector: TEXT_MAP,
  imagePullSecrets: { type: "array", items: strict({ name: TEXT }, ["name"]) },
  pullPolicy: { type: "string", enum: ["Always", "IfNotPresent", "Never"] },
  digest: { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" },
  driverName: { type: "string", pattern: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", maxLength: 63 },
  kubeletDir: FOLDER,
  stateDir: FOLDER,
  logLevel: { type: "string", enum: LEVELS },
  "controller.logLevel": LEVEL_OR_COMMON,
  "node.logLevel": LEVEL_OR_COMMON,
  "sidecars.provisioner.logLevel": { type: "integer", minimum: 0, maximum: 10 },
  "s3.endpoint": URL_OR_NONE,
  http_proxy: URL_OR_NONE,
  https_proxy: URL_OR_NONE,
  secretNamespaces: TEXTS,
  additionalArgs: TEXTS,
  httpPort: PORT,
  replicaCount: { type: "integer", minimum: 1 },
  maxUnavailable: NUMBER_OR_SHARE,
  terminationGracePeriodSeconds: { type: "integer", minimum: 0 },
  "node.cacheSize": { type: "string", pattern: "^([0-9]+(\\.[0-9]+)? ?([KMGTP]i?)?B?)?$" },
  resources: RESOURCES,
  timeout: DURATION,
  retryIntervalMax: DURATION,
  leaseDuration: DURATION,
  renewDeadline: DURATION,
  retryPeriod: DURATION,
  interval: DURATION,
  dnsPolicy: { type: "string", enum: ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] },
  "controller.updateStrategy": strategy("RollingUpdate", "Recreate"),
  updateStrategy: strategy("RollingUpdate", "OnDelete"),
  storageClasses: {
    type: "array",
    items: strict(
      {
        name: { type: "string", minLength: 1 },
        default: { type: "boolean" },
        annotations: TEXT_MAP,
        reclaimPolicy: { type: "string", enum: ["Delete", "Retain"] },
        volumeBindingMode: { type: "string", enum: ["Immediate", "WaitForFirstConsumer"] },
        mountOptions: TEXTS,
        secret: strict({ name: TEXT, namespace: TEXT }),
        parameters: parametersSchema(),
      },
      ["name"],
    ),
  },
};

/** Lists and maps without a form in the table are Kubernetes' own. */
function formOf({ path, preset }: Value): Schema {
  const form = FORMS[path] ?? FORMS[path.slice(path.lastIndexOf(".") + 1)];
  if (form !== undefined) return form;
  if (Array.isArray(preset)) return OBJECTS;
  if (typeof preset === "string") return TEXT;
  if (typeof preset === "boolean") return { type: "boolean" };
  if (typeof preset === "object" && preset !== null) return OBJECT;
  throw new Error(`values.yaml: no form is known for ${path}`);
}

function schemaOf(values: readonly Value[]): Schema {
  return strict(
    Object.fromEntries(
      values.map((value) => [
        value.path.slice(value.path.lastIndexOf(".") + 1),
        value.doc === undefined ? schemaOf(value.children) : { description: value.doc, ...formOf(value) },
      ]),
    ),
  );
}

/** The text of values.schema.json for that of values.yaml. */
export function valuesSchema(values: string): string {
  const { properties, ...root } = schemaOf(parseValues(values)) as { properties: Record<string, Schema> };
  // Helm adds `global` where the chart is a part of another one.
  return jsonText({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Values of the chart bucketmount",
    ...root,
    properties: { ...properties, global: OBJECT },
  });
}
