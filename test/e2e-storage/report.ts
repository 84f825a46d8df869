/** The JSON report of ginkgo, which Kubernetes' own tests are written with, in the terms of our suites. */
import type { Counts } from "../../scripts/counts.ts";

/** As much of a ginkgo report as is read. */
export interface GinkgoReport {
  readonly SpecReports: readonly GinkgoSpec[] | null;
}

export interface GinkgoSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  /** Nanoseconds. */
  readonly RunTime?: number;
  readonly Failure?: { readonly Message?: string };
}

export interface StorageResults {
  readonly counts: Counts;
  /** Names with the seconds that they took. */
  readonly passed: readonly string[];
  /** Names with what went wrong. */
  readonly failed: readonly string[];
  /** Reasons, with how many each kept from running; most first. */
  readonly skipped: readonly (readonly [reason: string, tests: number])[];
}

/** Of all of Kubernetes' tests the report lists, these are those of a driver that a file describes. */
const OURS = /^External Storage/;

/**
 * Counts the driver's tests. Those that ended before they began tell why; those that the command line left out do not, and
 * `leftOut` tells for them. What is not a test (a set-up for all) counts when it failed.
 */
export function storageResults(reports: readonly GinkgoReport[], leftOut: (name: string) => string): StorageResults {
  const specs = reports.flatMap(({ SpecReports }) => SpecReports ?? []);
  const ours = specs.filter(
    ({ LeafNodeType, ContainerHierarchyTexts }) => LeafNodeType === "It" && OURS.test(ContainerHierarchyTexts?.join(" ") ?? ""),
  );
  const skipped = ours.filter(({ State }) => State === "skipped" || State === "pending");
  const passed = ours.filter(({ State }) => State === "passed");
  // Failed, panicked, interrupted, timed out: whatever there may be.
  const failed = specs.filter((spec) =>
    ours.includes(spec) ? !skipped.includes(spec) && !passed.includes(spec) : !["passed", "skipped", "pending"].includes(spec.State),
  );
  const reasons = new Map<string, number>();
  for (const spec of skipped) {
    const reason = reasonOf(spec) ?? leftOut(nameOf(spec));
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return {
    counts: { passed: passed.length, failed: failed.length, skipped: skipped.length },
    passed: passed.map((spec) => `${nameOf(spec)} (${((spec.RunTime ?? 0) / 1e9).toFixed(0)} s)`),
    failed: failed.map((spec) => `${nameOf(spec)}: ${spec.Failure?.Message ?? spec.State}`),
    skipped: [...reasons].toSorted(([, a], [, b]) => b - a),
  };
}

function nameOf({ ContainerHierarchyTexts, LeafNodeText, LeafNodeType }: GinkgoSpec): string {
  const names = [...(ContainerHierarchyTexts ?? []).filter((text) => !OURS.test(text)), LeafNodeText].filter(Boolean);
  return names.join(" ") || LeafNodeType;
}

/** What a test said when it skipped itself, without the driver's name and the word for it. */
function reasonOf({ Failure }: GinkgoSpec): string | undefined {
  const message = Failure?.Message?.trim();
  return message === undefined || message === "" ? undefined : message.replace(/\s*-+ skipping$/, "");
}
