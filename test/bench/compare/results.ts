/** Measured rows of several file systems, and the table of medians with ratios to the first of them. */

export interface Measurement {
  readonly peer: string;
  readonly row: string;
  /** Undefined: it failed, `error` says how. */
  readonly seconds?: number;
  readonly error?: string;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}

/** The median, or undefined when any run failed: a file system that sometimes fails has no time. */
function value(results: readonly Measurement[], peer: string, row: string): number | undefined {
  const mine = results.filter((one) => one.peer === peer && one.row === row);
  const seconds = mine.map((one) => one.seconds).filter((one) => one !== undefined);
  return seconds.length === mine.length && mine.length > 0 ? median(seconds) : undefined;
}

function cell(results: readonly Measurement[], peer: string, base: string, row: string): string {
  const mine = value(results, peer, row);
  if (mine === undefined) return results.some((one) => one.peer === peer && one.row === row) ? "failed" : "-";
  const reference = value(results, base, row);
  const ratio = peer === base || reference === undefined || reference === 0 ? "" : ` (${(mine / reference).toFixed(2)}x)`;
  return `${mine.toFixed(mine < 10 ? 3 : 1)}${ratio}`;
}

/** Markdown; "(2.00x)" means twice the first column's value. Rows in the order in which they were first measured. */
export function comparisonTable(results: readonly Measurement[], peers: readonly string[]): string {
  const rows = [...new Set(results.map(({ row }) => row))];
  const base = peers[0] ?? "";
  const lines = rows.map((row) => [row, ...peers.map((peer) => cell(results, peer, base, row))]);
  return [["seconds", ...peers], ["---", ...peers.map(() => "---")], ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
