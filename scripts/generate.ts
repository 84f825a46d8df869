// Writes the parts of docs/ that come from tables in the code: node -C source scripts/generate.ts [--check]
//
// With --check nothing is written: a file that differs is named, and the exit code is 1.
import { readFileSync, writeFileSync } from "node:fs";
import { dashboard } from "./chart/dashboard.ts";
import { chartReadme } from "./chart/readme.ts";
import { valuesSchema } from "./chart/values-schema.ts";
import { between, causesTable, errorsDoc, GENERATED, layersDoc, metricsDoc, optionsDoc } from "./generated-docs.ts";
import { parametersSchemaFile, parametersTable } from "./parameters-docs.ts";

const CHART = "deploy/helm/bucketmount";

/** File -> its text as it should be, given its text as it is. */
const DOCS: Readonly<Record<string, (present: string) => string>> = {
  "docs/ERRORS.md": errorsDoc,
  "docs/OPTIONS.md": optionsDoc,
  "docs/PARAMETERS.md": (present) => between(present, "parameters", `${GENERATED}\n\n${parametersTable()}\n`),
  "docs/METRICS.md": metricsDoc,
  "docs/TROUBLESHOOTING.md": (present) => between(present, "causes", causesTable()),
  "docs/ARCHITECTURE.md": (present) => between(present, "layers", layersDoc()),
  [`${CHART}/parameters.schema.json`]: parametersSchemaFile,
  [`${CHART}/values.schema.json`]: () => valuesSchema(textOf(`${CHART}/values.yaml`)),
  [`${CHART}/README.md`]: (present) => chartReadme(present, textOf(`${CHART}/values.yaml`)),
  [`${CHART}/files/dashboard.json`]: dashboard,
};

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** The files whose text is not what the tables say. */
function outdated(): { file: string; text: string }[] {
  return Object.entries(DOCS)
    .map(([file, make]) => ({ file, present: textOf(file), text: make(textOf(file)) }))
    .filter(({ present, text }) => present !== text);
}

const check = process.argv.includes("--check");
const stale = outdated();
for (const { file, text } of stale) {
  if (check) console.error(`${file} is not what the code says: run npm run generate`);
  else writeFileSync(file, text);
}
console.log(`generate: ${Object.keys(DOCS).length} files, ${stale.length} ${check ? "outdated" : "written"}`);
if (check && stale.length > 0) process.exitCode = 1;
