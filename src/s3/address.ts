/** Where a bucket is: endpoint, Host header and request path. */
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";

export interface AddressConfig {
  readonly bucket: string;
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly pathStyle?: boolean | undefined;
}

export interface BucketAddress {
  readonly bucket: string;
  /** For messages: the endpoint as given, or AWS's. */
  readonly endpoint: string;
  readonly region: string;
  /** What the connection goes to, such as `https://s3.eu-west-1.amazonaws.com`. */
  readonly origin: string;
  readonly host: string;
  /** The path of a key, or of the bucket itself, percent-encoded once and never normalised. */
  pathOf(key?: string): string;
}

/** Works out the address of a bucket. Throws `bad_argument` for an endpoint that is no http or https URL. */
export function addressOf({ bucket, endpoint, region, pathStyle }: AddressConfig): BucketAddress {
  if (bucket === "" || /[/\s\p{Cc}]/u.test(bucket)) throw new DriverError("bad_argument", `"${bucket}" is not a bucket name`);
  const given = endpoint ?? awsEndpoint(region);
  const url = parseEndpoint(given);
  // A certificate's wildcard covers one label: bucket names with dots need path style on https.
  const inPath = pathStyle ?? (endpoint !== undefined || (url.protocol === "https:" && bucket.includes(".")));
  const base = url.pathname.replace(/\/+$/, "") + (inPath ? `/${encodeKey(bucket)}` : "");
  const host = inPath ? url.host : `${bucket}.${url.host}`;
  return {
    ...{ bucket, region, endpoint: given, host, origin: `${url.protocol}//${host}` },
    pathOf: (key) => (key === undefined ? base || "/" : `${base}/${encodeKey(key)}`),
  };
}

/** AWS's endpoint of a region. */
export function awsEndpoint(region: string): string {
  return `https://s3.${region}.${region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com"}`;
}

/**
 * A key as S3 wants it in a path: every byte but A-Z a-z 0-9 - . _ ~ and / percent-encoded, once. `//`, `.` and `..` stay.
 * Throws `bad_argument` for a string that has no UTF-8 form.
 */
export function encodeKey(key: string): string {
  // Nearly all keys are plain; the test is four times cheaper than encoding.
  if (/^[A-Za-z0-9\-._~/]*$/.test(key)) return key;
  return encodeStrict(key).replaceAll("%2F", "/");
}

/**
 * What s3rver never decodes in a copy's source (it uses `decodeURI`), and what stands for itself in a URL's path. Not `+`, which others
 * read as a blank, nor `?`, `#` and `&`, which end a path.
 */
const PLAIN_IN_SOURCE: Readonly<Record<string, string>> = { "%40": "@", "%3A": ":", "%2C": ",", "%3D": "=", "%24": "$" };

/** The headers that name the source of a copy inside the bucket. */
export function copySource({ bucket }: BucketAddress, key: string, ifMatch?: Etag): Record<string, string> {
  return {
    "x-amz-copy-source": `/${bucket}/${encodeKey(key).replace(/%(?:40|3A|2C|3D|24)/g, (code) => PLAIN_IN_SOURCE[code] ?? code)}`,
    ...(ifMatch === undefined ? {} : { "x-amz-copy-source-if-match": ifMatch }),
  };
}

/** RFC 3986: what `encodeURIComponent` leaves, and S3's signature does not, is encoded too. */
export function encodeStrict(text: string): string {
  try {
    return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  } catch (cause) {
    throw new DriverError("bad_argument", "a key that is not valid Unicode cannot be sent to S3", { cause });
  }
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search || url.hash) {
    throw new DriverError("bad_argument", `the S3 endpoint "${redact(endpoint)}" is not a URL such as https://s3.example.org`);
  }
  if (url.username || url.password) {
    throw new DriverError("bad_argument", `the S3 endpoint ${url.origin} must not carry a user name or password`);
  }
  return url;
}

/** A user name and password in a mistyped URL do not go into a message. */
function redact(endpoint: string): string {
  return endpoint.replace(/\/\/[^/@]*@/, "//***@");
}
