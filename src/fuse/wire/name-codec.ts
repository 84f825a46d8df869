/**
 * File names as strings. Linux names are bytes; almost all are UTF-8. Bytes that are not become the lone surrogates
 * U+DC80 to U+DCFF, one a byte (Python's "surrogateescape"): valid UTF-8 never decodes to a surrogate, so every byte string
 * survives the way through a string and back, and names compare equal exactly when their bytes do.
 */
const ESCAPE = 0xdc00;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Bytes to a string; never fails. */
export function decodeName(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return decodeEscaped(bytes);
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Length of the valid UTF-8 sequence at `at`; 0 when there is none (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const second = bytes[at + 1];
  if (second === undefined || !isContinuation(second)) return 0;
  if (lead < 0xe0) return 2;
  if (!isContinuation(bytes[at + 2])) return 0;
  if (lead < 0xf0) return (lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f) ? 0 : 3;
  if (!isContinuation(bytes[at + 3])) return 0;
  return (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f) ? 0 : 4;
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text += length === 0 ? String.fromCharCode(ESCAPE + (bytes[at] as number)) : decoder.decode(bytes.subarray(at, at + length));
    at += Math.max(1, length);
  }
  return text;
}

/** A string to bytes: the reverse of `decodeName`. Surrogates that decodeName cannot have made become U+FFFD. */
export function encodeName(name: string): Uint8Array {
  return name.isWellFormed() ? encoder.encode(name) : encodeEscaped(name);
}

function isEscape(char: string): boolean {
  const code = char.codePointAt(0) as number;
  return code >= ESCAPE + 0x80 && code <= ESCAPE + 0xff;
}

function encodeEscaped(name: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of name) {
    if (isEscape(char)) bytes.push((char.codePointAt(0) as number) - ESCAPE);
    else bytes.push(...encoder.encode(char));
  }
  return Uint8Array.from(bytes);
}

/** Encodes into `target` from its start. Returns the bytes written, or -1 when the name does not fit. */
export function encodeNameInto(name: string, target: Uint8Array): number {
  if (name.isWellFormed()) {
    const { read, written } = encoder.encodeInto(name, target);
    return read === name.length ? written : -1;
  }
  const bytes = encodeEscaped(name);
  if (bytes.length > target.length) return -1;
  target.set(bytes);
  return bytes.length;
}
