// Everything that is checked without running the program; all of it, even when something fails: node -C source scripts/check-static.ts
import { spawnSync } from "node:child_process";
import { add, NONE, record, summary } from "./counts.ts";
import { withTools } from "./tools-path.ts";

const CHECKS: Readonly<Record<string, readonly string[]>> = {
  types: ["tsc", "-p", "tsconfig.json"],
  "format and lint": ["biome", "check", "--error-on-warnings"],
  "lint with types": ["oxlint", "--type-aware", "--deny-warnings"],
  layers: ["node", "scripts/check-layers.ts"],
  "unused code": ["knip", "--no-config-hints"],
  "generated docs": ["node", "-C", "source", "scripts/generate.ts", "--check"],
};

function passes(name: string, [file = "", ...args]: readonly string[]): boolean {
  const started = Date.now();
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: "utf8", env: withTools(process.env) });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (status !== 0) console.log(`${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`);
  return status === 0;
}

const counts = Object.entries(CHECKS)
  .map(([name, command]) => (passes(name, command) ? { ...NONE, passed: 1 } : { ...NONE, failed: 1 }))
  .reduce(add, NONE);
record("static", counts);
console.log(summary(counts));
process.exitCode = counts.failed === 0 ? 0 : 1;
