/**
 * The StorageClass parameters of this driver: one table, from which docs/PARAMETERS.md and the chart's JSON schema are made. What is not
 * in it is refused by name, so that a typing error is seen.
 */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import { type Lifecycle, parseLifecycle } from "./lifecycle.ts";
import { parseNameTemplate } from "./name-template.ts";
import { ParameterRefusal } from "./parameter-refusal.ts";
import {
  oneOf,
  parseBoolean,
  parseBucket,
  parseEndpoint,
  parseKmsKey,
  parsePrefix,
  parsePrincipal,
  parseRegion,
  parseStorageClass,
  parseTags,
} from "./parameter-values.ts";

const ON_DELETE = ["delete", "retain", "archive", "only-if-empty"] as const;
const ENCRYPTION = ["SSE-S3", "SSE-KMS"] as const;
const BUCKET_POLICY = ["least-privilege"] as const;

export type OnDelete = (typeof ON_DELETE)[number];

/** What a StorageClass says, parsed; each row of the table tells what it means. */
export interface VolumeParameters {
  readonly bucket?: string;
  readonly nameTemplate?: string;
  readonly bucketPrefix?: string;
  readonly onDelete?: OnDelete;
  readonly storageClass?: string;
  readonly versioning?: boolean;
  readonly encryption?: (typeof ENCRYPTION)[number];
  readonly kmsKeyId?: string;
  readonly lifecycle?: Lifecycle;
  readonly tags?: StringMap;
  readonly publicAccessBlock?: boolean;
  readonly bucketPolicy?: (typeof BUCKET_POLICY)[number];
  readonly nodePrincipal?: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
}

export type ParameterName = keyof VolumeParameters;

interface ParameterRow<T> {
  /** For the list in an error and for the manual. */
  readonly form: string;
  readonly doc: string;
  /** What holds without it. */
  readonly preset?: string;
  /** The words it may be, where it is one of a few. */
  readonly choices?: readonly string[];
  /** A regular expression that every value satisfies, where that says more than the form. */
  readonly pattern?: string;
  /** Throws a ParameterRefusal, which completes "parameter X ...". */
  readonly parse: (value: string) => T;
  /** A property of a whole bucket, or of its name: not for a volume that is a prefix in somebody's. */
  readonly wholeBucket?: true;
  /** Means nothing without this other one. */
  readonly needs?: { readonly name: ParameterName; readonly value?: string };
}

const BOOLEAN = { form: "true or false", choices: ["true", "false"], parse: parseBoolean } as const;

export const PARAMETERS: { readonly [Name in ParameterName]-?: ParameterRow<NonNullable<VolumeParameters[Name]>> } = {
  bucket: {
    form: "the name of an existing bucket",
    doc: "Volumes are prefixes in this bucket. It is never made, changed or deleted by the driver.",
    preset: "each volume is a bucket of its own",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$",
    parse: parseBucket,
  },
  nameTemplate: {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: these are what the template may hold.
    form: "a name with ${pvc.namespace}, ${pvc.name} or ${pv.name} in it",
    doc: "How the prefix is called (with `bucket`) or the bucket (without). A name that is taken already is refused.",
    preset: "the PersistentVolume's name",
    pattern: "^.*\\$\\{(pvc\\.namespace|pvc\\.name|pv\\.name)\\}.*$",
    parse: parseNameTemplate,
  },
  bucketPrefix: {
    form: "lower-case letters, digits and dashes, at most 32",
    doc: "Stands before the bucket's name.",
    pattern: "^[a-z0-9][a-z0-9-]{0,31}$",
    parse: parsePrefix,
    wholeBucket: true,
  },
  onDelete: {
    form: `one of ${ON_DELETE.join(", ")}`,
    doc: "What becomes of the data when the claim is deleted and its reclaimPolicy is Delete. Fixed when the volume is made.",
    preset: "delete",
    choices: ON_DELETE,
    parse: oneOf(...ON_DELETE),
  },
  storageClass: {
    form: "a storage class of the store, such as STANDARD_IA; not an archive",
    doc: "Storage class of new files.",
    preset: "the store's own",
    pattern: "^[A-Z][A-Z0-9_-]{0,63}$",
    parse: parseStorageClass,
  },
  versioning: { ...BOOLEAN, doc: "Keep old versions of files.", preset: "as the store makes buckets", wholeBucket: true },
  encryption: {
    form: `one of ${ENCRYPTION.join(", ")}`,
    doc: "Encrypt new files at the store: with its own keys, or with one of its key management service.",
    preset: "as the store makes buckets",
    choices: ENCRYPTION,
    parse: oneOf(...ENCRYPTION),
    wholeBucket: true,
  },
  kmsKeyId: {
    form: "a key's ARN, id or alias",
    doc: "The key for SSE-KMS. The nodes' account needs the right to use it.",
    preset: "the account's own key for S3",
    parse: parseKmsKey,
    wholeBucket: true,
    needs: { name: "encryption", value: "SSE-KMS" },
  },
  lifecycle: {
    form: "expire=30d, noncurrent=14d and abort-uploads=7d, parted by commas",
    doc: "Delete files, old versions and unfinished uploads after so many days.",
    pattern: "^ *(expire|noncurrent|abort-uploads)=[0-9]{1,5}d *(, *(expire|noncurrent|abort-uploads)=[0-9]{1,5}d *)*$",
    parse: parseLifecycle,
    wholeBucket: true,
  },
  tags: { form: "key=value,key=value", doc: "Tags of the bucket.", parse: parseTags, wholeBucket: true },
  publicAccessBlock: {
    ...BOOLEAN,
    doc: "Block all public access to the bucket.",
    preset: "as the store makes buckets",
    wholeBucket: true,
  },
  bucketPolicy: {
    form: `one of ${BUCKET_POLICY.join(", ")}`,
    doc: "Give `nodePrincipal` what a mount needs in the bucket, and no change of the driver's mark.",
    choices: BUCKET_POLICY,
    parse: oneOf(...BUCKET_POLICY),
    wholeBucket: true,
    needs: { name: "nodePrincipal" },
  },
  nodePrincipal: {
    form: "an ARN, an account's number, or the store's own name of a user; not *",
    doc: "The account whose keys the nodes use; another one than the controller's.",
    pattern: "^[A-Za-z0-9_+=,.@:/-]{1,512}$",
    parse: parsePrincipal,
    wholeBucket: true,
    needs: { name: "bucketPolicy" },
  },
  endpoint: {
    form: "a URL, http:// or https://",
    doc: "The store.",
    preset: "the secret's, else the driver's",
    pattern: "^https?://",
    parse: parseEndpoint,
  },
  region: {
    form: "an S3 region, such as eu-central-1",
    doc: "Where buckets are made; the region of signatures.",
    preset: "the secret's, else the driver's",
    pattern: "^[A-Za-z0-9][A-Za-z0-9-]{0,31}$",
    parse: parseRegion,
  },
  pathStyle: {
    ...BOOLEAN,
    doc: "Put the bucket into the URL's path (true) or into its host name (false).",
    preset: "true with an endpoint, else false",
  },
};

/** The orchestrator's own, such as csi.storage.k8s.io/pvc/name: not ours to judge, and no part of what a volume is. */
const ORCHESTRATOR_PREFIX = "csi.storage.k8s.io/";

/**
 * The parameters, checked one by one and together. Fault `bad_argument`: an unknown name, a wrong value, or two that do not go together;
 * named, with what is known.
 */
export function parseParameters(given: StringMap): VolumeParameters {
  const parsed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith(ORCHESTRATOR_PREFIX)) continue;
    if (!Object.hasOwn(PARAMETERS, name))
      throw new DriverError("bad_argument", `parameter ${JSON.stringify(name)} is not known; known: ${knownParameters()}`);
    parsed[name] = parseOne(name as ParameterName, value);
  }
  checkTogether(parsed);
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

function parseOne(name: ParameterName, value: string): unknown {
  const row = PARAMETERS[name];
  try {
    return row.parse(value);
  } catch (thrown) {
    const reason = thrown instanceof ParameterRefusal && thrown.message !== "" ? `: ${thrown.message}` : "";
    throw new DriverError("bad_argument", `parameter ${name} must be ${row.form}, not ${JSON.stringify(value)}${reason}`);
  }
}

function checkTogether(parsed: VolumeParameters): void {
  for (const name of Object.keys(parsed) as ParameterName[]) {
    const { wholeBucket, needs } = PARAMETERS[name];
    if (wholeBucket && parsed.bucket !== undefined)
      throw new DriverError("bad_argument", `parameter ${name} does not go with parameter bucket: a shared bucket is left as it is`);
    if (needs && (parsed[needs.name] === undefined || (needs.value !== undefined && parsed[needs.name] !== needs.value))) {
      const wanted = `${needs.name}${needs.value === undefined ? "" : `: ${needs.value}`}`;
      throw new DriverError("bad_argument", `parameter ${name} needs parameter ${wanted}`);
    }
  }
  if (parsed.lifecycle?.noncurrent !== undefined && parsed.versioning !== true)
    throw new DriverError("bad_argument", "parameter lifecycle: noncurrent needs parameter versioning: true");
}
