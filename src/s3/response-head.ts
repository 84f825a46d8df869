/**
 * The head of an HTTP/1.1 answer (RFC 9112), and how its body is delimited.
 *
 * Values are decoded from their own bytes: a slice of the whole head's text would keep all of it in memory for as long as an ETag lives.
 * Lines are looked at where they stand: a list of them, made by `split`, costs twice as much in the first seconds of a mount.
 */
import type { ResponseHeaders } from "./object-headers.ts";

export interface AnswerHead {
  readonly status: number;
  /** Names in lower case; a name that came several times has a list. */
  readonly headers: ResponseHeaders;
  /** Bytes of the body; undefined: it is delimited in some other way. */
  readonly length: number | undefined;
  /** The body comes in chunks (RFC 9112 section 7.1), and is encoded in no other way. */
  readonly isChunked: boolean;
  /** The server goes on after it. */
  readonly isKept: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: |\r|$)/;
const BLANK = 0x20;
const TAB = 0x09;

/** `head` is the answer to a `method` request, without the empty line that ends it. Undefined: not HTTP/1.1, or malformed. */
export function parseHead(head: Buffer, method: string | undefined): AnswerHead | undefined {
  const text = head.toString("latin1");
  const status = Number(STATUS_LINE.exec(text)?.[1]);
  if (Number.isNaN(status)) return undefined;
  const headers: Record<string, string | string[]> = {};
  for (let line = text.indexOf("\r\n"); line >= 0; ) {
    const start = line + 2;
    line = text.indexOf("\r\n", start);
    const end = line < 0 ? text.length : line;
    const colon = text.indexOf(":", start);
    if (colon <= start || colon >= end) return undefined;
    const name = text.slice(start, colon).toLowerCase();
    const value = trimmed(head, colon + 1, end);
    const earlier = headers[name];
    headers[name] = earlier === undefined ? value : [earlier, value].flat();
  }
  const coding = headers["transfer-encoding"];
  const isKept = headers["connection"] !== "close";
  return { status, headers, length: bodyLength(method, status, headers), isChunked: coding === "chunked", isKept };
}

function trimmed(head: Buffer, from: number, to: number): string {
  let [start, end] = [from, to];
  while (start < end && isBlank(head[start])) start += 1;
  while (end > start && isBlank(head[end - 1])) end -= 1;
  return head.toString("latin1", start, end);
}

function isBlank(byte: number | undefined): boolean {
  return byte === BLANK || byte === TAB;
}

/** RFC 9112 section 6.3. */
function bodyLength(method: string | undefined, status: number, headers: ResponseHeaders): number | undefined {
  if (method === "HEAD" || status === 204 || status === 304) return 0;
  const length = headers["content-length"];
  if (typeof length !== "string" || headers["transfer-encoding"] !== undefined || !/^\d+$/.test(length)) return undefined;
  return Number(length);
}
