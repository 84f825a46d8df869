/** JSON as the project's formatter writes it, so that generated files pass it. */

const LINE_WIDTH = 140;
const STEP = "  ";

/** A short list of texts and numbers stands on one line; everything else has a line for each element. */
export function jsonText(value: unknown): string {
  return `${layOut(value, "", 0)}\n`;
}

/** `used`: what stands on the line before the value. */
function layOut(value: unknown, indent: string, used: number): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (Object.keys(value).length === 0) return open + close;
  if (isList && value.every((item) => typeof item !== "object" || item === null)) {
    const line = `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
    if (used + line.length < LINE_WIDTH) return line;
  }
  const inner = indent + STEP;
  const lines = Object.entries(value).map(([key, item]) => {
    const start = isList ? inner : `${inner}${JSON.stringify(key)}: `;
    return start + layOut(item, inner, start.length);
  });
  return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}
