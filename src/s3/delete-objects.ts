/** DeleteObject and DeleteObjects. */
import { createHash } from "node:crypto";
import type { Etag } from "#core/brand.ts";
import { DriverError, isFault } from "#core/errors.ts";
import { errorOfRefusal } from "./errors.ts";
import type { S3Http } from "./http.ts";
import type { CallOptions, DeleteFailure } from "./object-store.ts";
import { escapeXml, isXmlText, scanXml } from "./xml.ts";

/** S3's limit of one DeleteObjects. */
const BATCH = 1000;
/** Single deletes at a time, where there is no DeleteObjects. */
const PARALLEL = 16;

/** Deletes one key. What is not there counts as deleted, with a condition too. */
export async function deleteObject(http: S3Http, key: string, options: CallOptions & { readonly ifMatch?: Etag } = {}): Promise<void> {
  const { ifMatch } = options;
  await http
    .send({ operation: "DeleteObject", key, ...(ifMatch === undefined ? {} : { headers: { "if-match": ifMatch } }) }, options)
    .catch((error: unknown) => {
      const gone = isFault(error, "not_found") || (isFault(error, "stale") && error.context.status === 404);
      if (!gone) throw error;
    });
}

/** Deletes many keys; remembers for its life whether the server has DeleteObjects. */
export class BatchDelete {
  readonly #http: S3Http;
  #batches = true;

  constructor(http: S3Http) {
    this.#http = http;
  }

  /** Answers the keys that could not be deleted. Throws only where nothing could be tried: denied as a whole, unreachable. */
  async delete(keys: readonly string[], options?: CallOptions): Promise<readonly DeleteFailure[]> {
    // XML 1.0 cannot name every key.
    const plain = keys.filter(isXmlText);
    const odd = plain.length === keys.length ? [] : keys.filter((key) => !isXmlText(key));
    const failures: DeleteFailure[] = [];
    for (let at = 0; at < plain.length; at += BATCH) failures.push(...(await this.#batch(plain.slice(at, at + BATCH), options)));
    failures.push(...(await this.#singly(odd, options)));
    return failures;
  }

  async #batch(keys: readonly string[], options: CallOptions | undefined): Promise<readonly DeleteFailure[]> {
    const [only] = keys;
    if (!this.#batches || (keys.length === 1 && only !== undefined)) return this.#singly(keys, options);
    try {
      return await this.#deleteObjects(keys, options);
    } catch (error) {
      if (!isFault(error, "not_implemented")) throw error;
      this.#batches = false;
      return this.#singly(keys, options);
    }
  }

  async #deleteObjects(keys: readonly string[], options: CallOptions | undefined): Promise<readonly DeleteFailure[]> {
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
    const bytes = Buffer.from(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${objects}</Delete>`);
    // The one call that must carry a checksum; MD5 is what every server takes.
    const headers = { "content-type": "application/xml", "content-md5": createHash("md5").update(bytes).digest("base64") };
    const { body } = await this.#http.send(
      { operation: "DeleteObjects", query: { delete: "" }, headers, body: { length: bytes.byteLength, body: () => bytes } },
      options,
    );
    return this.#failuresIn(body.toString("utf8"));
  }

  #failuresIn(xml: string): readonly DeleteFailure[] {
    const failures: DeleteFailure[] = [];
    const { bucket, endpoint, region } = this.#http.address;
    let fields: Record<string, string> = {};
    scanXml(
      xml,
      (name, text, parent) => {
        if (parent === "Error") fields[name] = text;
      },
      (name) => {
        if (name !== "Error") return;
        const { Key: key = "", Code: code = "", Message: message = "" } = fields;
        fields = {};
        const error = errorOfRefusal({ operation: "DeleteObjects", status: 200, code, message, bucket, endpoint, region, key });
        if (error.fault !== "not_found") failures.push({ key, error });
      },
    );
    return failures;
  }

  async #singly(keys: readonly string[], options: CallOptions | undefined): Promise<readonly DeleteFailure[]> {
    const failures: DeleteFailure[] = [];
    let next = 0;
    const worker = async () => {
      for (let key = keys[next++]; key !== undefined; key = keys[next++]) {
        const one = key;
        await deleteObject(this.#http, one, options).catch((error: unknown) => failures.push({ key: one, error: DriverError.from(error) }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, keys.length) }, worker));
    return failures;
  }
}
