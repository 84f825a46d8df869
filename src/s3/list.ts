/** ListObjectsV2. */
import type { S3Http } from "./http.ts";
import { decodeMetadata, quoted } from "./object-headers.ts";
import type { CallOptions, ListedObject, ListPage, UserMetadata } from "./object-store.ts";
import { scanXml } from "./xml.ts";

export interface ListQuery {
  readonly prefix: string;
  readonly delimiter?: "/";
  readonly startAfter?: string;
  readonly continuation?: string;
  readonly maxKeys?: number;
}

/**
 * One page of keys. Keys come URL-encoded, since XML 1.0 cannot hold every character that a key may have. `withMetadata`
 * asks for MinIO's extension; other servers pass over the parameter.
 */
export async function listObjects(http: S3Http, query: ListQuery, withMetadata: boolean, options?: CallOptions): Promise<ListPage> {
  const { prefix, delimiter, startAfter, continuation, maxKeys } = query;
  const { body } = await http.send(
    {
      operation: "ListObjectsV2",
      query: {
        ...{ "list-type": "2", "encoding-type": "url" },
        ...(prefix === "" ? {} : { prefix }),
        ...(delimiter === undefined ? {} : { delimiter }),
        ...(startAfter === undefined ? {} : { "start-after": startAfter }),
        ...(continuation === undefined ? {} : { "continuation-token": continuation }),
        ...(maxKeys === undefined ? {} : { "max-keys": String(maxKeys) }),
        ...(withMetadata ? { metadata: "true" } : {}),
      },
    },
    options,
  );
  return parseListPage(body.toString("utf8"));
}

/** Reads a ListBucketResult. */
export function parseListPage(xml: string): ListPage {
  const raw: RawEntry[] = [];
  const prefixes: string[] = [];
  const top: Record<string, string> = {};
  let entry: RawEntry = {};
  scanXml(
    xml,
    (name, text, parent) => {
      if (parent === "Contents") entry[name as keyof RawFields] = text;
      else if (parent === "UserMetadata") addMetadata(entry, name, text);
      else if (parent === "CommonPrefixes" && name === "Prefix") prefixes.push(text);
      else if (parent === "ListBucketResult") top[name] = text;
    },
    (name) => {
      if (name !== "Contents") return;
      raw.push(entry);
      entry = {};
    },
  );
  const decode = top.EncodingType === "url" ? decodeUrl : (text: string) => text;
  const more = top.IsTruncated === "true" && top.NextContinuationToken;
  return { objects: raw.map((one) => objectOf(one, decode)), prefixes: prefixes.map(decode), ...(more ? { next: more } : {}) };
}

interface RawFields {
  Key?: string;
  Size?: string;
  ETag?: string;
  LastModified?: string;
  StorageClass?: string;
}

interface RawEntry extends RawFields {
  metadata?: Record<string, string>;
  contentType?: string;
}

function objectOf(raw: RawEntry, decode: (text: string) => string): ListedObject {
  return {
    ...{
      key: decode(raw.Key ?? ""),
      size: Number(raw.Size ?? 0),
      etag: quoted(raw.ETag ?? ""),
      lastModified: Date.parse(raw.LastModified ?? "") || 0,
    },
    ...(raw.StorageClass ? { storageClass: raw.StorageClass } : {}),
    ...(raw.metadata ? { details: detailsOf(raw.metadata, raw.contentType) } : {}),
  };
}

function detailsOf(metadata: UserMetadata, contentType: string | undefined): NonNullable<ListedObject["details"]> {
  return { metadata, ...(contentType === undefined ? {} : { contentType }) };
}

/** MinIO's `<UserMetadata><X-Amz-Meta-Mode>33188</X-Amz-Meta-Mode><content-type>...</content-type></UserMetadata>`. */
function addMetadata(entry: RawEntry, name: string, text: string): void {
  entry.metadata ??= {};
  const lower = name.toLowerCase();
  if (lower.startsWith("x-amz-meta-")) entry.metadata[lower.slice("x-amz-meta-".length)] = decodeMetadata(text);
  else if (lower === "content-type") entry.contentType = text;
}

/** Form encoding: `+` is a blank. What is not encoded after all is taken as it is. */
function decodeUrl(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
