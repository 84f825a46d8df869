/** Kubernetes manifests checked against the API's types, as the client library has them: unknown fields and values of a wrong type. */
import { readFileSync } from "node:fs";
import * as client from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // The rest is as different as the kinds are.
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it by path
  readonly [field: string]: any;
}

/** The documents of a YAML text, empty ones left out. Throws where one is no YAML. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });
}

export function readManifests(file: string): Manifest[] {
  return parseManifests(readFileSync(file, "utf8"));
}

interface Attribute {
  readonly baseName: string;
  readonly type: string;
}

interface Model {
  getAttributeTypeMap(): readonly Attribute[];
}

const MODELS = client as unknown as Readonly<Record<string, Partial<Model>>>;

function modelOf(type: string): Model | undefined {
  const found = MODELS[type];
  return found?.getAttributeTypeMap === undefined ? undefined : (found as Model);
}

/** The type of a kind: `apps/v1` Deployment is V1Deployment; undefined for custom resources. */
function typeOf({ apiVersion, kind }: Manifest): string | undefined {
  const version = apiVersion.slice(apiVersion.lastIndexOf("/") + 1);
  return [`${version[0]?.toUpperCase()}${version.slice(1)}${kind}`].find((type) => modelOf(type) !== undefined);
}

/** What is wrong, one line each, by path. A kind that Kubernetes itself does not have (a ServiceMonitor, say) passes. */
export function typeErrors(manifest: Manifest): string[] {
  const type = typeOf(manifest);
  return type === undefined ? [] : check(manifest, type, manifest.kind);
}

/** False for kinds that `typeErrors` cannot judge. */
export function isKnownKind(manifest: Manifest): boolean {
  return typeOf(manifest) !== undefined;
}

function check(value: unknown, type: string, path: string): string[] {
  const [, item] = /^Array<(.+)>$/.exec(type) ?? [];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${path}: no list`];
    return value.flatMap((element, index) => check(element, item, `${path}[${index}]`));
  }
  const [, entry] = /^\{ \[key: string\]: (.+); \}$/.exec(type) ?? [];
  if (entry !== undefined) {
    if (!isObject(value)) return [`${path}: no map`];
    return Object.entries(value).flatMap(([key, element]) => check(element, entry, `${path}.${key}`));
  }
  const model = modelOf(type);
  return model === undefined ? checkScalar(value, type, path) : checkModel(value, model, path);
}

function checkModel(value: unknown, model: Model, path: string): string[] {
  if (!isObject(value)) return [`${path}: no object`];
  const attributes = new Map(model.getAttributeTypeMap().map(({ baseName, type }) => [baseName, type]));
  return Object.entries(value).flatMap(([key, element]) => {
    const type = attributes.get(key);
    return type === undefined ? [`${path}.${key}: unknown`] : check(element, type, `${path}.${key}`);
  });
}

function checkScalar(value: unknown, type: string, path: string): string[] {
  const fits = { string: typeof value === "string", number: typeof value === "number", boolean: typeof value === "boolean" }[type];
  if (fits !== undefined) return fits ? [] : [`${path}: ${JSON.stringify(value)} is no ${type}`];
  if (type === "any" || type === "object" || type === "Date") return [];
  if (type === "IntOrString") return ["string", "number"].includes(typeof value) ? [] : [`${path}: no number or text`];
  throw new Error(`${path}: the type ${type} is not known`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
