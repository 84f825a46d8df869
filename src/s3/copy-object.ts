/** CopyObject, and the copy in parts of what is larger than one CopyObject may be. */
import { type DriverError, isFault } from "#core/errors.ts";
import { copySource } from "./address.ts";
import { headObject } from "./get-object.ts";
import type { S3Http } from "./http.ts";
import { abortUpload, beginUpload, completeUpload, copyPart } from "./multipart.ts";
import { copyResultOf, headersOfConditions, headersOfObject } from "./object-headers.ts";
import type { CopyOptions, PutResult, UploadedPart } from "./object-store.ts";

export interface CopyLimits {
  /** CopyObject takes no more. */
  readonly maxBytes: number;
  readonly partBytes: number;
  /** Parts at a time. */
  readonly parallel: number;
}

/** S3 refuses more than 5 GiB in one CopyObject; parts of 512 MiB copy side by side and reach 5 TB in 10,000. */
export const COPY_LIMITS: CopyLimits = { maxBytes: 5 * 2 ** 30, partBytes: 512 << 20, parallel: 8 };

/**
 * Copies inside the bucket. With `replace` the target has exactly these headers and metadata; without, the source's; but the storage
 * class and encryption are then the bucket's defaults, as S3 has it.
 */
export async function copyObject(
  http: S3Http,
  source: string,
  target: string,
  options: CopyOptions = {},
  limits: CopyLimits = COPY_LIMITS,
): Promise<PutResult> {
  if ((options.sourceSize ?? 0) > limits.maxBytes) return copyInParts(http, source, target, options, limits);
  const { replace } = options;
  const headers = {
    ...copySource(http.address, source, options.sourceIfMatch),
    ...headersOfConditions(options),
    ...(replace ? { "x-amz-metadata-directive": "REPLACE", ...headersOfObject(replace.headers, replace.metadata) } : {}),
  };
  try {
    const response = await http.send({ operation: "CopyObject", key: target, headers }, options);
    return copyResultOf(response.headers, response.body.toString("utf8"), target);
  } catch (error) {
    // The caller did not know the size, and the source is too large: S3 has no code of its own for it.
    if (options.sourceSize !== undefined || !isFault(error, "bad_argument", "too_big")) throw error;
    const { size } = await headObject(http, source, options);
    if (size <= limits.maxBytes) throw error;
    return copyInParts(http, source, target, options, limits);
  }
}

async function copyInParts(http: S3Http, source: string, target: string, options: CopyOptions, limits: CopyLimits): Promise<PutResult> {
  const info = await headObject(http, source, options);
  // Every part must come from the same version.
  const ifMatch = options.sourceIfMatch ?? info.etag;
  const { headers, metadata } = options.replace ?? info;
  const { signal, deadlineMs } = options;
  const call = { signal, deadlineMs };
  const { tagCount } = info.headers;
  const tags = tagCount === undefined ? {} : { tagCount };
  const upload = await beginUpload(http, target, { headers: { ...headers, ...tags }, metadata, withCopies: true, tagsOf: source, ...call });
  try {
    const count = Math.ceil(info.size / limits.partBytes);
    const parts = Array.from<UploadedPart>({ length: count });
    let next = 0;
    const worker = async () => {
      for (let index = next++; index < count; index = next++) {
        const start = index * limits.partBytes;
        const end = Math.min(info.size, start + limits.partBytes);
        parts[index] = await copyPart(http, upload, index + 1, { key: source, start, end, ifMatch }, call);
      }
    };
    await Promise.all(Array.from({ length: Math.min(limits.parallel, count) }, worker));
    return await completeUpload(http, upload, parts, options);
  } catch (error) {
    await abortUpload(http, upload).catch((_cleanup: DriverError) => undefined);
    throw error;
  }
}
