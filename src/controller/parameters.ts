/** The StorageClass parameters of this driver: one table. What is not in it is refused by name, so that a typing error is seen. */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import { isBucketPrefix } from "./bucket-name.ts";

export interface VolumeParameters {
  /** Where the bucket is made: its LocationConstraint. */
  readonly region?: string;
  /** Keep old versions of objects. */
  readonly versioning?: boolean;
  /** Tags of the bucket. */
  readonly tags?: StringMap;
  /** Stands before the bucket's name. */
  readonly bucketPrefix?: string;
  /** URL of the store. */
  readonly endpoint?: string;
  /** The bucket in the path of a URL instead of its host name. */
  readonly pathStyle?: boolean;
}

interface ParameterRow<T> {
  /** For the list in an error and for the manual. */
  readonly form: string;
  /** Throws a string that completes "parameter X ...". */
  readonly parse: (value: string) => T;
}

export const PARAMETERS: { readonly [Name in keyof VolumeParameters]-?: ParameterRow<NonNullable<VolumeParameters[Name]>> } = {
  region: { form: "an S3 region, such as eu-central-1", parse: parseRegion },
  versioning: { form: "true or false", parse: parseBoolean },
  tags: { form: "key=value,key=value", parse: parseTags },
  bucketPrefix: { form: "lower-case letters, digits and dashes, at most 32", parse: parsePrefix },
  endpoint: { form: "a URL, http:// or https://", parse: parseEndpoint },
  pathStyle: { form: "true or false", parse: parseBoolean },
};

/** The orchestrator's own, such as csi.storage.k8s.io/pvc/name: not ours to judge, and no part of what a volume is. */
const ORCHESTRATOR_PREFIX = "csi.storage.k8s.io/";

/** S3 allows 50 tags on a bucket; two are ours. */
const MAX_TAGS = 48;

/** The parameters, checked. Fault `bad_argument`: an unknown name or a wrong value, named, with what is known. */
export function parseParameters(given: StringMap): VolumeParameters {
  const parsed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith(ORCHESTRATOR_PREFIX)) continue;
    if (!Object.hasOwn(PARAMETERS, name))
      throw new DriverError("bad_argument", `parameter ${JSON.stringify(name)} is not known; known: ${knownParameters()}`);
    parsed[name] = parseOne(name as keyof VolumeParameters, value);
  }
  return parsed;
}

/** The claim's names that the provisioner adds with --extra-create-metadata; kept in the mark for people. */
export function claimOf(given: StringMap): { readonly namespace?: string; readonly name?: string } {
  const namespace = given[`${ORCHESTRATOR_PREFIX}pvc/namespace`];
  const name = given[`${ORCHESTRATOR_PREFIX}pvc/name`];
  return { ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) };
}

function knownParameters(): string {
  return Object.entries(PARAMETERS)
    .map(([name, { form }]) => `${name} (${form})`)
    .join("; ");
}

function parseOne(name: keyof VolumeParameters, value: string): unknown {
  const row = PARAMETERS[name];
  try {
    return row.parse(value);
  } catch (thrown) {
    const reason = thrown instanceof ParameterRefusal ? `: ${thrown.message}` : "";
    throw new DriverError("bad_argument", `parameter ${name} must be ${row.form}, not ${JSON.stringify(value)}${reason}`);
  }
}

/** Why a value is refused, where its row's form does not say it all. */
class ParameterRefusal extends Error {}

function parseBoolean(value: string): boolean {
  if (value === "true") return true;
  if (value === "false") return false;
  throw new ParameterRefusal();
}

function parseRegion(value: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/.test(value)) throw new ParameterRefusal();
  return value;
}

function parsePrefix(value: string): string {
  if (!isBucketPrefix(value)) throw new ParameterRefusal();
  return value;
}

/** Without credentials, path or query: it is written into ids and logs. */
function parseEndpoint(value: string): string {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ParameterRefusal();
  if (url.username !== "" || url.password !== "") throw new ParameterRefusal("credentials belong into the secret");
  if (url.search !== "" || url.hash !== "") throw new ParameterRefusal("no query or fragment");
  return url.href.replace(/\/$/, "");
}

/** What S3 takes as a bucket's tags, without `aws:` names and without our own. */
function parseTags(value: string): StringMap {
  const tags = new Map<string, string>();
  for (const part of value.split(",").filter((item) => item.trim() !== "")) {
    const equals = part.indexOf("=");
    const [key, text] = [part.slice(0, Math.max(0, equals)).trim(), part.slice(equals + 1).trim()];
    if (equals < 1 || !/^[\p{L}\p{N} _.:/=+@-]{1,128}$/u.test(key) || !/^[\p{L}\p{N} _.:/=+@-]{0,256}$/u.test(text))
      throw new ParameterRefusal(part);
    if (/^(aws:|bucketmount-)/i.test(key)) throw new ParameterRefusal(`the name ${key} is reserved`);
    if (tags.has(key)) throw new ParameterRefusal(`${key} twice`);
    tags.set(key, text);
  }
  if (tags.size > MAX_TAGS) throw new ParameterRefusal(`at most ${MAX_TAGS}`);
  return Object.fromEntries([...tags].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
