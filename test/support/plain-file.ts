/** What may happen to a spool file, at random, and a file of plain bytes to which the same happens. */
import fc from "fast-check";

export type FileStep =
  | readonly ["write", number, number]
  | readonly ["truncate", number]
  | readonly ["read", number, number]
  | readonly ["crash" | "fill" | "upload"];
export const fileStep: fc.Arbitrary<FileStep> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("write" as const), fc.nat({ max: 70 }), fc.nat({ max: 20 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("truncate" as const), fc.nat({ max: 90 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("read" as const), fc.nat({ max: 90 }), fc.nat({ max: 90 })) },
  { weight: 2, arbitrary: fc.constant<FileStep>(["crash"]) },
  { weight: 1, arbitrary: fc.constant<FileStep>(["fill"]) },
  { weight: 1, arbitrary: fc.constant<FileStep>(["upload"]) },
);

/** The file as plain bytes. */
export class PlainFile {
  bytes: Buffer;
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes);
  }
  truncate(size: number): void {
    this.bytes = Buffer.concat([this.bytes.subarray(0, size), Buffer.alloc(Math.max(0, size - this.bytes.byteLength))]);
  }
  write(offset: number, data: Uint8Array): void {
    if (offset + data.byteLength > this.bytes.byteLength) this.truncate(offset + data.byteLength);
    this.bytes.set(data, offset);
  }
}
