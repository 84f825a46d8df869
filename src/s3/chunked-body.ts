/** Short bodies in HTTP/1.1's chunked coding (RFC 9112 section 7.1): S3's error documents. */

export interface ChunkedBody {
  readonly body: Buffer;
  /** Where the coded form ends. */
  readonly end: number;
}

const LINE_END = "\r\n";

/**
 * Decodes the body that `coded` begins with, into memory of its own. "incomplete": more has to come. Undefined: malformed, or with
 * trailers, which S3 does not send.
 */
export function decodeChunked(coded: Buffer): ChunkedBody | "incomplete" | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = coded.indexOf(LINE_END, at);
    if (lineEnd < 0) return coded.byteLength - at > 100 ? undefined : "incomplete";
    // Extensions may follow the size.
    const size = /^([0-9a-f]{1,8})[ \t]*(?:;|$)/i.exec(coded.toString("latin1", at, lineEnd))?.[1];
    if (size === undefined) return undefined;
    const start = lineEnd + LINE_END.length;
    const end = start + Number.parseInt(size, 16);
    const after = coded.toString("latin1", end, end + LINE_END.length);
    if (!LINE_END.startsWith(after)) return undefined;
    if (after.length < LINE_END.length) return "incomplete";
    at = end + LINE_END.length;
    if (end === start) return { body: Buffer.concat(chunks), end: at };
    chunks.push(coded.subarray(start, end));
  }
}
