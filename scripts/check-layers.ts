// Checks that every import goes down the layer table: node scripts/check-layers.ts [ROOT]
//
// A plain text scan: it needs no compiler API (TypeScript 7 has none), and sees `import type` and dynamic imports too.
import { globSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { isUnder, LAYERS, layerOf, MAY_EXIT, matches, RESTRICTED } from "./layers.ts";

const IMPORT =
  /^\s*(?:import|export)\s+(?<type>type\s)?[^"';]*?\bfrom\s*["'](?<from>[^"']+)["']|\bimport\s*\(?\s*["'](?<bare>[^"']+)["']|\brequire\s*\(\s*["'](?<required>[^"']+)["']/gm;
const EXIT = /\bprocess\s*\.\s*(?:exit|reallyExit|abort)\s*\(/;

interface Import {
  readonly spec: string;
  readonly typeOnly: boolean;
}

/** "./x.ts", "../x.ts" and "#layer/x.ts" become a path from the root; a package gives undefined. */
function resolve(file: string, spec: string): string | undefined {
  if (spec.startsWith("#")) return `src/${spec.slice(1)}`;
  if (spec.startsWith(".")) return posix.join(posix.dirname(file), spec);
  return undefined;
}

function packageProblem(file: string, layer: string, spec: string): string | undefined {
  const restricted = Object.entries(RESTRICTED).find(([pattern]) => matches(spec, pattern));
  if (restricted && !restricted[1].some((folder) => isUnder(file, folder))) {
    return `${file}: ${spec} belongs to ${restricted[1].join(", ")} alone`;
  }
  const allowed = LAYERS[layer]?.packages.some((pattern) => matches(spec, pattern));
  return allowed ? undefined : `${file}: ${layer} must not import the package ${spec}`;
}

function layerProblem(file: string, from: string, path: string, { spec, typeOnly }: Import): string | undefined {
  const to = layerOf(path);
  if (to === undefined) return `${file}: ${spec} is in no layer`;
  if (to === from) return spec.startsWith("#") ? `${file}: inside ${from}, import ${spec} by a relative path` : undefined;
  const row = LAYERS[from];
  const allowed = [...(row?.layers ?? []), ...(typeOnly ? (row?.types ?? []) : [])];
  if (!allowed.some((folder) => isUnder(path, folder)))
    return `${file}: ${from} must not import ${path}${typeOnly ? " (even as a type)" : ""}`;
  return spec.startsWith("#") ? undefined : `${file}: import another layer as #${path.slice("src/".length)}, not ${spec}`;
}

function importsOf(text: string): Import[] {
  return [...text.matchAll(IMPORT)].map(({ groups }) => ({
    spec: groups?.["from"] ?? groups?.["bare"] ?? groups?.["required"] ?? "",
    typeOnly: groups?.["type"] !== undefined,
  }));
}

function fileProblems(root: string, file: string): string[] {
  const layer = layerOf(file);
  if (layer === undefined) return [`${file}: in no layer; add its folder to scripts/layers.ts`];
  const text = readFileSync(posix.join(root, file), "utf8");
  const problems = importsOf(text).map((one) => {
    const path = resolve(file, one.spec);
    return path === undefined ? packageProblem(file, layer, one.spec) : layerProblem(file, layer, path, one);
  });
  if (EXIT.test(text) && !MAY_EXIT.includes(file)) problems.push(`${file}: only ${MAY_EXIT.join(" and ")} may end the process`);
  return problems.filter((problem) => problem !== undefined);
}

/** Everything under `root`/src that breaks the table, one line each. */
export function violations(root: string): { scanned: number; problems: string[] } {
  const files = globSync("src/**/*.ts", { cwd: root }).toSorted();
  const problems = files.flatMap((file) => fileProblems(root, file));
  if (files.length === 0) problems.push(`${root}: no files under src`); // a checker that saw nothing must fail
  return { scanned: files.length, problems };
}

if (import.meta.main) {
  const { scanned, problems } = violations(process.argv[2] ?? ".");
  for (const problem of problems) console.error(problem);
  console.log(`layers: ${scanned} files, ${problems.length} violations`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
