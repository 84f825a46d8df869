/** Multipart uploads: begin, parts, complete, abort. */
import { createHash } from "node:crypto";
import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { copySource } from "./address.ts";
import type { S3Http, S3Response } from "./http.ts";
import { etagInXml, etagOf, headersOfConditions, headersOfObject, putResultOf } from "./object-headers.ts";
import type { BeginUploadOptions, CallOptions, Payload, PutConditions, PutResult, UploadedPart, UploadId } from "./object-store.ts";
import { CRC32_HEADER, preparePayload } from "./payload.ts";
import { resultOfStanding, standingAfterRepeat } from "./put-object.ts";
import { withTagsOf } from "./tags.ts";
import { escapeXml, leafText } from "./xml.ts";

/** S3's limit. */
export const MAX_PARTS = 10_000;

/**
 * Begins an upload. Its parts will carry CRC-32s, and the object shall have one of all its bytes, which a later GET can check
 * (FULL_OBJECT; a server that does not know it makes a sum of the parts' sums, or none). Not with copied parts: MinIO then
 * refuses the copy, and versitygw makes a wrong sum.
 */
export async function beginUpload(http: S3Http, key: string, options: BeginUploadOptions = {}): Promise<UploadId> {
  const { withCopies = false } = options;
  const headers = {
    ...headersOfObject(options.headers, options.metadata),
    ...(withCopies ? {} : { "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT" }),
  };
  const { body } = await withTagsOf(http, options.tagsOf ?? key, options.headers, options, (tagging) =>
    http.send({ operation: "CreateMultipartUpload", key, query: { uploads: "" }, headers: { ...headers, ...tagging } }, options),
  );
  const uploadId = leafText(body.toString("utf8"), "UploadId");
  if (!uploadId) throw new DriverError("internal", `CreateMultipartUpload "${key}": the server sent no UploadId`, { context: { key } });
  return { key, uploadId, ...(withCopies ? { withCopies } : {}) };
}

/** Sends one part. */
export async function uploadPart(
  http: S3Http,
  upload: UploadId,
  partNumber: number,
  body: Payload,
  options?: CallOptions,
): Promise<UploadedPart> {
  checkPartNumber(upload, partNumber);
  const payload = await preparePayload(body, upload.withCopies ? "md5" : "crc32");
  const { headers } = await http.send(
    {
      ...{ operation: "UploadPart", key: upload.key, query: partQuery(upload, partNumber) },
      ...{ headers: payload.checksum, body: payload },
    },
    options,
  );
  payload.done();
  const crc32 = payload.checksum[CRC32_HEADER];
  return { partNumber, etag: etagOf(headers, upload.key), ...(crc32 === undefined ? {} : { crc32 }) };
}

/** Makes a part of a range of an object that is there. */
export async function copyPart(
  http: S3Http,
  upload: UploadId,
  partNumber: number,
  { key, start, end, ifMatch }: { key: string; start: number; end: number; ifMatch?: Etag },
  options?: CallOptions,
): Promise<UploadedPart> {
  checkPartNumber(upload, partNumber);
  if (!upload.withCopies) throw new DriverError("bad_argument", `the upload of "${upload.key}" was not begun with copies`);
  const headers = { ...copySource(http.address, key, ifMatch), "x-amz-copy-source-range": `bytes=${start}-${end - 1}` };
  const { body } = await http.send(
    { operation: "UploadPartCopy", key: upload.key, query: partQuery(upload, partNumber), headers },
    options,
  );
  return { partNumber, etag: etagInXml(body.toString("utf8"), upload.key) };
}

/**
 * Makes the object of its parts. When a repeated call hears that the upload is gone, or that its condition fails, and
 * the object that stands there has the ETag that these parts give, the first attempt had done it.
 */
export async function completeUpload(
  http: S3Http,
  upload: UploadId,
  parts: readonly UploadedPart[],
  options: CallOptions & PutConditions = {},
): Promise<PutResult> {
  const { key, uploadId } = upload;
  if (parts.length > MAX_PARTS) throw new DriverError("too_big", `"${key}" has more than ${MAX_PARTS} parts`, { context: { key } });
  const xml = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.map(partXml).join("")}</CompleteMultipartUpload>`;
  const bytes = Buffer.from(xml);
  const headers = { "content-type": "application/xml", ...headersOfConditions(options) };
  try {
    const response = await http.send(
      { operation: "CompleteMultipartUpload", key, query: { uploadId }, headers, body: { length: bytes.byteLength, body: () => bytes } },
      options,
    );
    return completedResult(response, key);
  } catch (error) {
    const standing = await standingAfterRepeat(http, key, error, options);
    if (standing === undefined || standing.etag !== etagOfParts(parts)) throw error;
    return resultOfStanding(standing);
  }
}

/** Ends an upload; one that is gone is success. */
export async function abortUpload(http: S3Http, { key, uploadId }: UploadId, options?: CallOptions): Promise<void> {
  await http.send({ operation: "AbortMultipartUpload", key, query: { uploadId } }, options).catch((error: unknown) => {
    if (!isFault(error, "not_found")) throw error;
  });
}

function completedResult({ headers, body }: S3Response, key: string): PutResult {
  return putResultOf(headers, etagInXml(body.toString("utf8"), key));
}

function partQuery({ uploadId }: UploadId, partNumber: number): Record<string, string> {
  return { partNumber: String(partNumber), uploadId };
}

function checkPartNumber({ key }: UploadId, partNumber: number): void {
  if (partNumber > MAX_PARTS) throw new DriverError("too_big", `"${key}" has more than ${MAX_PARTS} parts`, { context: { key } });
  if (!(Number.isInteger(partNumber) && partNumber >= 1)) throw new DriverError("bad_argument", `${partNumber} is no part number`);
}

function partXml({ partNumber, etag, crc32 }: UploadedPart): string {
  const sum = crc32 === undefined ? "" : `<ChecksumCRC32>${crc32}</ChecksumCRC32>`;
  return `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(etag)}</ETag>${sum}</Part>`;
}

/** MD5 of the parts' MD5s, with their number: S3's rule where no server-side keys are used. */
function etagOfParts(parts: readonly UploadedPart[]): string {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ""), "hex"));
  return `"${hash.digest("hex")}-${parts.length}"`;
}
