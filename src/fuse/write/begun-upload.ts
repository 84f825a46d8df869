/**
 * `BegunUpload`: a multipart upload of which parts were sent ahead, while the file was still being written, and what it takes to
 * use them at the upload: each part is compared with the file as it is then.
 */
import fs from "node:fs";
import { promisify } from "node:util";
import type { ObjectHeaders, UploadedPart, UploadId, UserMetadata } from "#s3/object-store.ts";
import type { UploadTarget } from "./dirty-file.ts";
import { Fingerprint } from "./fingerprint.ts";
import type { Part } from "./part-plan.ts";

const read = promisify(fs.read);

export interface PartAhead {
  readonly part: Part;
  readonly sent: UploadedPart;
  /** Of the bytes that were sent. */
  readonly fingerprint: Buffer;
}

export interface BegunUpload {
  readonly id: UploadId;
  /** What the object will carry: it was fixed when the upload began. */
  readonly headers: ObjectHeaders;
  readonly metadata: UserMetadata;
  readonly partBytes: number;
  /** By part number. Those under way are there too; undefined: it was not sent after all. */
  readonly parts: ReadonlyMap<number, Promise<PartAhead | undefined>>;
  /** Ends the sending of parts that are under way; resolves when none is. */
  readonly cancel: () => Promise<void>;
}

/** Where an upload gets the parts that were sent ahead. */
export interface AheadSource {
  /** Hands over what was begun for this key with these headers, for good; anything else that was begun is abandoned. */
  take(target: Pick<UploadTarget, "key" | "headers">): Promise<BegunUpload | undefined>;
}

/**
 * True when the file still has the bytes that were sent for this part; false when it cannot be read, too: sending it again tells why.
 * `scratch` is for reading: best so small that it stays in a core's cache.
 */
export async function isUnchanged(fd: number, { part, fingerprint }: PartAhead, scratch: Uint8Array): Promise<boolean> {
  const found = new Fingerprint();
  for (let at = part.start; at < part.end; ) {
    const wanted = Math.min(scratch.byteLength, part.end - at);
    const { bytesRead } = await read(fd, scratch, 0, wanted, at).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) return false;
    found.add(scratch.subarray(0, bytesRead));
    at += bytesRead;
  }
  return found.value().equals(fingerprint);
}
