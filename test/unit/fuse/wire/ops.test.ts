import { describe, expect, test } from "vitest";
import { OP_BY_CODE, OPS, type OpHandlers, type OpRow, opcodeName, UNSUPPORTED } from "../../../../src/fuse/wire/ops.ts";
import { readFuseHeader } from "../../../support/fuse-header.ts";

const header = readFuseHeader();
const rows = Object.entries<OpRow>(OPS);

describe.skipIf(header === undefined)("ops against <linux/fuse.h>", () => {
  test("each opcode of the header has a row or stands in UNSUPPORTED with a reason, under its number", () => {
    const ours = new Map([...rows, ...Object.entries(UNSUPPORTED)].map(([name, { opcode }]) => [name, opcode]));
    const kernel = [...header!.opcodes].filter(([name]) => !name.includes("BSWAP_RESERVED"));
    expect(kernel.length).toBeGreaterThan(40);
    for (const [name, opcode] of kernel) expect(ours.get(name), name).toBe(opcode);
    for (const [name, { reason }] of Object.entries(UNSUPPORTED)) expect(reason, name).not.toBe("");
  });
});

describe("OPS", () => {
  test("no opcode and no method stands twice", () => {
    const opcodes = [...rows.map(([, row]) => row.opcode), ...Object.values(UNSUPPORTED).map(({ opcode }) => opcode)];
    expect(new Set(opcodes).size).toBe(opcodes.length);
    expect(new Set(rows.map(([, { method }]) => method)).size).toBe(rows.length);
  });

  test("`OP_BY_CODE` and `opcodeName` know every row, and no other opcode has a row", () => {
    for (const [name, row] of rows) {
      expect(OP_BY_CODE[row.opcode]).toBe(row);
      expect(opcodeName(row.opcode)).toBe(name);
    }
    expect(OP_BY_CODE.filter((row) => row !== undefined)).toHaveLength(rows.length);
    expect([opcodeName(31), opcodeName(999)]).toEqual(["GETLK", "999"]);
  });

  test("`OpHandlers` derives each handler's arguments and answer from its row", () => {
    type Arguments<M extends keyof OpHandlers> = Parameters<OpHandlers[M]>;
    type Answer<M extends keyof OpHandlers> = Awaited<ReturnType<OpHandlers[M]>>;
    const check = (set: Arguments<"setxattr">, rename: Arguments<"rename2">, created: Answer<"create">, handlers: OpHandlers): void => {
      set[1].size satisfies number;
      set[2] satisfies string;
      set[3] satisfies Uint8Array;
      rename[3] satisfies string;
      created[0].attr.mtime satisfies number;
      created[1].backing_id satisfies number;
      // @ts-expect-error INIT is the channel's own
      handlers.init;
    };
    expect(check).toBeTypeOf("function");
  });
});
