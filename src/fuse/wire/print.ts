/** One line per request, for debug logs: `#4 LOOKUP node 1 "name"`. Never file content or attribute values. */
import type { RequestHeader } from "./decode.ts";
import { isResent, uniqueNumber } from "./decode.ts";
import { OP_BY_CODE, opcodeName } from "./ops.ts";

function printValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Uint8Array) return `<${value.length} bytes>`;
  if (typeof value !== "object" || value === null) return String(value);
  const fields: string[] = [];
  for (const field in value) {
    const content = (value as Record<string, unknown>)[field]; // for...in: a live view's fields are on its prototype
    if (typeof content === "number" && field !== "base") fields.push(`${field}=${content}`);
  }
  return `{${fields.join(" ")}}`;
}

/** The line for a request with these decoded arguments. */
export function printRequest(header: RequestHeader, args: readonly unknown[]): string {
  const { uniqueLow, uniqueHigh, opcode, nodeid, uid, gid, pid } = header;
  const mark = isResent(uniqueHigh) ? " again" : "";
  const shown = OP_BY_CODE[opcode] === undefined ? [] : args.map(printValue);
  return [`#${uniqueNumber(uniqueLow, uniqueHigh)}${mark} ${opcodeName(opcode)} node ${nodeid} by ${uid}:${gid} pid ${pid}`, ...shown].join(
    " ",
  );
}
