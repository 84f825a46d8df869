/** Object headers and user metadata: as HTTP has them, as the project has them. */
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { ObjectHeaders, ObjectInfo, PutConditions, PutResult, UserMetadata } from "./object-store.ts";
import { leafText } from "./xml.ts";

/** Response headers: names in lower case, values as strings of bytes. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

type SentHeader = Exclude<keyof ObjectHeaders, "tagCount">;

const NAMES: Readonly<Record<SentHeader, string>> = {
  contentType: "content-type",
  cacheControl: "cache-control",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  contentLanguage: "content-language",
  expires: "expires",
  storageClass: "x-amz-storage-class",
  serverSideEncryption: "x-amz-server-side-encryption",
  sseKmsKeyId: "x-amz-server-side-encryption-aws-kms-key-id",
};
const ENTRIES = Object.entries(NAMES) as [SentHeader, string][];
const METADATA = "x-amz-meta-";

/** Request headers that give an object its system headers and user metadata. */
export function headersOfObject(headers: ObjectHeaders = {}, metadata: UserMetadata = {}): Record<string, string> {
  const sent: Record<string, string> = {};
  for (const [field, name] of ENTRIES) {
    const value = headers[field];
    if (value !== undefined) sent[name] = value;
  }
  for (const [name, value] of Object.entries(metadata)) sent[METADATA + name] = encodeMetadata(value);
  return sent;
}

/** Request headers of the conditions of a write. */
export function headersOfConditions({ ifMatch, ifNoneMatch }: PutConditions): Record<string, string> {
  return {
    ...(ifMatch === undefined ? {} : { "if-match": ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { "if-none-match": ifNoneMatch }),
  };
}

/** What a HEAD or GET answered, given the whole object's size. */
export function infoOf(key: string, size: number, response: ResponseHeaders): ObjectInfo {
  const headers: Record<string, string | number> = {};
  for (const [field, name] of ENTRIES) {
    const value = headerOf(response, name);
    if (value !== undefined) headers[field] = value;
  }
  const tagCount = Number(headerOf(response, "x-amz-tagging-count") ?? 0);
  if (tagCount > 0) headers["tagCount"] = tagCount;
  const metadata: Record<string, string> = {};
  for (const name of Object.keys(response)) {
    if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] = decodeMetadata(headerOf(response, name) ?? "");
  }
  const lastModified = Date.parse(headerOf(response, "last-modified") ?? "") || 0;
  return { key, size, etag: etagOf(response, key), lastModified, headers, metadata, ...versionOf(response) };
}

/** What a PUT answered. */
export function putResultOf(response: ResponseHeaders, etag: Etag): PutResult {
  return { etag, dateMs: dateOf(response) ?? Math.floor(Date.now() / 1000) * 1000, ...versionOf(response) };
}

/**
 * What a CopyObject answered. Its LastModified is not always the time of the answer: some servers (versitygw, s3rver) leave an object's as it
 * is when it is copied onto itself.
 */
export function copyResultOf(response: ResponseHeaders, xml: string, key: string): PutResult {
  const result = putResultOf(response, etagInXml(xml, key));
  return { ...result, dateMs: Date.parse(leafText(xml, "LastModified") ?? "") || result.dateMs };
}

/** The ETag of a response; one without is `internal`, since nothing could be checked later. */
export function etagOf(response: ResponseHeaders, key: string): Etag {
  const etag = headerOf(response, "etag");
  if (etag === undefined || etag === "") throw new DriverError("internal", `the server sent no ETag for "${key}"`, { context: { key } });
  return etag as Etag;
}

/** The ETag in an answer's body: its quotes may be entities, or left out. */
export function etagInXml(xml: string, key: string): Etag {
  const etag = leafText(xml, "ETag");
  if (!etag) throw new DriverError("internal", `the server sent no ETag for "${key}"`, { context: { key } });
  return quoted(etag);
}

/** ETags are quoted in headers everywhere; some servers leave the quotes out of XML. */
export function quoted(etag: string): Etag {
  return (etag.startsWith('"') || etag.startsWith("W/") ? etag : `"${etag}"`) as Etag;
}

/** The server's clock in milliseconds. */
export function dateOf(response: ResponseHeaders): number | undefined {
  return Date.parse(headerOf(response, "date") ?? "") || undefined;
}

/** One header's value; repeated ones are joined as HTTP says. */
export function headerOf(response: ResponseHeaders, name: string): string | undefined {
  const value = response[name];
  return Array.isArray(value) ? value.join(",") : value;
}

function versionOf(response: ResponseHeaders): { versionId?: string } {
  const versionId = headerOf(response, "x-amz-version-id");
  return versionId === undefined || versionId === "" ? {} : { versionId };
}

/**
 * Metadata as a header. Unicode goes as its UTF-8 bytes (signing turns them into a string of bytes), which is what AWS and s3fs do.
 * What a header or the signature cannot carry unchanged (control characters, blanks at the ends or in a row, and the
 * white space beyond ASCII) goes as an RFC 2047 encoded word, which AWS itself uses in answers.
 */
function encodeMetadata(value: string): string {
  if (!UNSAFE.test(value)) return value;
  return `=?UTF-8?B?${Buffer.from(value, "utf8").toString("base64")}?=`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNSAFE = /[\0-\x1f\x7f]|^ | $| {2}|[^\S ]|^=\?/;

/** The reverse: bytes are UTF-8 where they are valid UTF-8, else Latin-1; encoded words are decoded. */
export function decodeMetadata(value: string): string {
  const text = decodeBytes(value);
  if (!text.startsWith("=?") || !/^(=\?utf-8\?[bq]\?[^?\s]*\?=\s*)+$/i.test(text)) return text;
  const words = [...text.matchAll(/=\?utf-8\?([bq])\?([^?\s]*)\?=/gi)].map(([, kind = "", data = ""]) =>
    kind.toLowerCase() === "b" ? Buffer.from(data, "base64") : bytesOfQuoted(data),
  );
  return Buffer.concat(words).toString("utf8");
}

/** A string of bytes, such as HTTP header values are, as the text that it means. */
export function decodeBytes(value: string): string {
  if (/^[\0-\x7f]*$/.test(value) || /[^\0-\xff]/.test(value)) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, "latin1"));
  } catch {
    return value;
  }
}

function bytesOfQuoted(data: string): Buffer {
  const latin1 = data.replaceAll("_", " ").replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, "latin1");
}
