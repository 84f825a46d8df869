import { describe, expect, it } from "vitest";
import { CAUSES } from "#core/causes.ts";
import { FAULTS } from "#core/errors.ts";
import { ENGINE_STATES, METRICS } from "#core/metrics.ts";
import { MOUNT_OPTIONS } from "#core/options.ts";
import { between, causesTable, errorsDoc, layersDoc, metricsDoc, optionsDoc, table } from "../../../scripts/generated-docs.ts";
import { LAYERS } from "../../../scripts/layers.ts";

describe("between", () => {
  it("replaces what stands between the markers, and only that", () => {
    expect(between("a\n<!-- x:begin -->old<!-- x:end -->\nb", "x", "new")).toBe("a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb");
  });

  it("throws when the markers are missing", () => {
    expect(() => between("a", "x", "new")).toThrow("<!-- x:begin -->");
  });
});

it("`table` escapes the bars of its cells", () => {
  expect(table(["a"], [["x|y"]])).toBe("| a |\n| --- |\n| x\\|y |");
});

it("each table's rows are all in its document", () => {
  const rows = (text: string) => text.split("\n").filter((line) => line.startsWith("| `"));
  expect(rows(errorsDoc())).toHaveLength(Object.keys(FAULTS).length);
  expect(rows(optionsDoc())).toHaveLength(Object.keys(MOUNT_OPTIONS).length);
  expect(causesTable().match(/^\| [A-Z]/gm)).toHaveLength(Object.keys(CAUSES).length);
  expect(rows(metricsDoc())).toHaveLength(Object.keys(METRICS).length + Object.keys(ENGINE_STATES).length);
  expect(rows(layersDoc())).toHaveLength(Object.keys(LAYERS).length);
});
