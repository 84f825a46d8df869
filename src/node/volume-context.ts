/**
 * What `volume_context` says about a volume: as the controller's CreateVolume wrote it, or a person as `volumeAttributes` of a
 * PersistentVolume. What is not in the table is refused by name, so that a typing error is seen.
 */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";

export interface VolumeSource {
  readonly bucket: string;
  /** "" or ends in "/". */
  readonly prefix: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  /** Of new objects. */
  readonly storageClass?: string;
}

interface AttributeRow {
  readonly form: string;
  /** Undefined: not of that form. */
  readonly parse: (value: string) => string | boolean | undefined;
}

const ATTRIBUTES: { readonly [Name in keyof VolumeSource]-?: AttributeRow } = {
  bucket: { form: "a bucket's name", parse: (value) => (/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(value) ? value : undefined) },
  prefix: { form: 'names parted by "/", none of them empty, "." or ".."', parse: parsePrefix },
  endpoint: { form: "a URL, http:// or https://, without credentials, query and fragment", parse: parseEndpoint },
  region: {
    form: "an S3 region, such as eu-central-1",
    parse: (value) => (/^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/.test(value) ? value : undefined),
  },
  pathStyle: { form: "true or false", parse: (value) => (value === "true" || value === "false" ? value === "true" : undefined) },
  storageClass: {
    form: "an S3 storage class, such as STANDARD_IA",
    parse: (value) => (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(value) ? value : undefined),
  },
};

/** The orchestrator's own: `csi.storage.k8s.io/pod.name`, `storage.kubernetes.io/csiProvisionerIdentity`. */
const ORCHESTRATORS = /^[a-z0-9.-]*kubernetes\.io\/|^[a-z0-9.-]*k8s\.io\//;

/** True when there is more in it than what the orchestrator adds on its own. */
export function hasAttributes(given: StringMap): boolean {
  return Object.keys(given).some((name) => !ORCHESTRATORS.test(name));
}

/** The attributes, checked. Fault `bad_argument`: an unknown name, a wrong value, or no bucket; named, with what is known. */
export function parseVolumeContext(given: StringMap): VolumeSource {
  const parsed: Record<string, string | boolean> = {};
  for (const [name, value] of Object.entries(given)) {
    if (ORCHESTRATORS.test(name)) continue;
    if (!Object.hasOwn(ATTRIBUTES, name)) {
      throw new DriverError(
        "bad_argument",
        `volume attribute ${JSON.stringify(name)} is not known; known: ${Object.keys(ATTRIBUTES).join(", ")}`,
      );
    }
    const row = ATTRIBUTES[name as keyof VolumeSource];
    const result = row.parse(value);
    if (result === undefined)
      throw new DriverError("bad_argument", `volume attribute ${name} must be ${row.form}, not ${JSON.stringify(value)}`);
    parsed[name] = result;
  }
  if (parsed["bucket"] === undefined) throw new DriverError("bad_argument", "volume_context: the volume attribute bucket is missing");
  return { prefix: "", ...parsed } as VolumeSource;
}

function parsePrefix(value: string): string | undefined {
  const plain = value.replace(/^\//, "").replace(/\/$/, "");
  if (plain === "") return "";
  return plain.split("/").some((part) => part === "" || part === "." || part === "..") ? undefined : `${plain}/`;
}

/** It is shown in messages and logs. */
export function parseEndpoint(value: string): string | undefined {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined;
  return url.href.replace(/\/$/, "");
}
