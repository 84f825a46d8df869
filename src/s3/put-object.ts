/** PutObject. */
import { createHash } from "node:crypto";
import { isFault } from "#core/errors.ts";
import { headObject } from "./get-object.ts";
import type { S3Http } from "./http.ts";
import { etagOf, headersOfConditions, headersOfObject, putResultOf } from "./object-headers.ts";
import type { CallOptions, ObjectInfo, Payload, PutOptions, PutResult } from "./object-store.ts";
import { type PreparedPayload, preparePayload } from "./payload.ts";
import { withTagsOf } from "./tags.ts";

/**
 * Writes a whole object. The body carries its CRC-32, which the server checks before it stores anything.
 *
 * A conditional PUT whose first attempt was carried out although its answer was lost would fail its own condition
 * when repeated. So after such a repetition a refusal is checked against what stands there: our bytes mean success.
 */
export async function putObject(http: S3Http, key: string, body: Payload, options: PutOptions = {}): Promise<PutResult> {
  const payload = await preparePayload(body);
  const headers = { ...headersOfObject(options.headers, options.metadata), ...headersOfConditions(options), ...payload.checksum };
  const send = (tagging: Readonly<Record<string, string>>) =>
    http.send({ operation: "PutObject", key, headers: { ...headers, ...tagging }, body: payload }, options);
  try {
    const response = await withTagsOf(http, key, options.headers, options, send);
    payload.done();
    return putResultOf(response.headers, etagOf(response.headers, key));
  } catch (error) {
    const standing = await standingAfterRepeat(http, key, error, options);
    if (standing?.size !== payload.length || !(await hasMd5Etag(standing, payload))) throw error;
    return resultOfStanding(standing);
  }
}

/** After a refused condition of a call that was repeated: what stands under the key now. */
export async function standingAfterRepeat(
  http: S3Http,
  key: string,
  error: unknown,
  options: CallOptions,
): Promise<ObjectInfo | undefined> {
  if (!isFault(error, "exists", "stale", "not_found") || error.context.repeated !== true) return undefined;
  return headObject(http, key, options).catch(() => undefined);
}

/** What stands there was our own doing. */
export function resultOfStanding({ etag, lastModified, versionId }: ObjectInfo): PutResult {
  return { etag, dateMs: lastModified, ...(versionId === undefined ? {} : { versionId }) };
}

/** Without server-side keys an ETag is the MD5. With them the comparison fails, and the caller hears of the conflict: safe. */
async function hasMd5Etag({ etag }: ObjectInfo, payload: PreparedPayload): Promise<boolean> {
  if (!/^"[0-9a-f]{32}"$/.test(etag)) return false;
  const hash = createHash("md5");
  const body = payload.body();
  if (body instanceof Uint8Array) hash.update(body);
  else for await (const chunk of body) hash.update(chunk);
  return etag === `"${hash.digest("hex")}"`;
}
