import { describe, expect, it } from "vitest";
import { type GinkgoSpec, storageResults } from "../../e2e-storage/report.ts";

function spec(name: string, state: string, message?: string): GinkgoSpec {
  return {
    ContainerHierarchyTexts: ["External Storage [Driver: d]", "[Testpattern: Dynamic PV]"],
    LeafNodeType: "It",
    LeafNodeText: name,
    State: state,
    RunTime: 2_000_000_000,
    ...(message === undefined ? {} : { Failure: { Message: message } }),
  };
}

const leftOut = () => "left out";

describe("storageResults", () => {
  it("counts the driver's tests and no others", () => {
    const other = { ...spec("other", "skipped"), ContainerHierarchyTexts: ["[sig-network] Services"] };
    const results = storageResults(
      [{ SpecReports: [spec("a", "passed"), other] }, { SpecReports: [spec("b", "failed", "boom")] }],
      leftOut,
    );
    expect(results.counts).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(results.passed).toEqual(["[Testpattern: Dynamic PV] a (2 s)"]);
    expect(results.failed).toEqual(["[Testpattern: Dynamic PV] b: boom"]);
  });

  it("counts whatever is neither passed nor skipped as failed", () => {
    const states = ["failed", "panicked", "interrupted", "aborted", "timedout"];
    expect(storageResults([{ SpecReports: states.map((state) => spec(state, state)) }], leftOut).counts.failed).toBe(states.length);
  });

  it("counts a set-up that failed, though it is no test", () => {
    const setUp = { ContainerHierarchyTexts: null, LeafNodeType: "SynchronizedBeforeSuite", LeafNodeText: "", State: "failed" };
    const results = storageResults([{ SpecReports: [setUp] }], leftOut);
    expect(results.counts).toEqual({ passed: 0, failed: 1, skipped: 0 });
    expect(results.failed).toEqual(["SynchronizedBeforeSuite: failed"]);
  });

  it("groups the reasons of skipped tests, and asks for that of those which give none", () => {
    const message = 'Driver "d" does not support block volumes - skipping';
    const results = storageResults(
      [{ SpecReports: [spec("a", "skipped"), spec("b", "skipped", message), spec("c", "skipped", message)] }],
      (name) => `left out: ${name}`,
    );
    expect(results.skipped).toEqual([
      ['Driver "d" does not support block volumes', 2],
      ["left out: [Testpattern: Dynamic PV] a", 1],
    ]);
  });

  it("takes a report without tests", () => {
    expect(storageResults([{ SpecReports: null }], leftOut).counts).toEqual({ passed: 0, failed: 0, skipped: 0 });
  });
});
