// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the templates that are tested.
import { expect, test } from "vitest";
import { PARAMETERS, parseParameters } from "#controller/parameters.ts";
import { parametersSchema, parametersSchemaFile, parametersTable } from "../../../scripts/parameters-docs.ts";

interface Property {
  readonly type: string;
  readonly description: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
}

const properties = () => parametersSchema()["properties"] as Readonly<Record<string, Property>>;

test("the manual and the schema have every parameter", () => {
  const rows = parametersTable().split("\n").slice(2);
  expect(rows).toHaveLength(Object.keys(PARAMETERS).length);
  expect(Object.keys(properties())).toEqual(Object.keys(PARAMETERS));
  expect(JSON.parse(parametersSchemaFile())).toMatchObject({ type: "object", additionalProperties: false });
});

test("`parametersSchema` takes what the controller takes and refuses what its patterns can tell", () => {
  const good: readonly (readonly [string, string])[] = [
    ["bucket", "shared.bucket-1"],
    ["nameTemplate", "ci/${pvc.namespace}/${pvc.name}"],
    ["bucketPrefix", "team-"],
    ["onDelete", "archive"],
    ["storageClass", "STANDARD_IA"],
    ["versioning", "true"],
    ["lifecycle", "expire=30d, abort-uploads=7d"],
    ["nodePrincipal", "arn:aws:iam::123456789012:role/node"],
    ["endpoint", "https://s3.example"],
  ];
  const matches = ({ pattern, enum: words }: Property, value: string) =>
    (pattern === undefined || new RegExp(pattern).test(value)) && (words === undefined || words.includes(value));
  for (const [name, value] of good) {
    expect(matches(properties()[name]!, value), `${name}=${value}`).toBe(true);
    if (name !== "nodePrincipal") expect(parseParameters({ [name]: value }), name).toHaveProperty(name);
  }
  const bad: readonly (readonly [string, string])[] = [
    ["bucket", "a/b"],
    ["nameTemplate", "constant"],
    ["onDelete", "keep"],
    ["versioning", "yes"],
    ["lifecycle", "expire=30"],
    ["nodePrincipal", "*"],
    ["endpoint", "minio:9000"],
  ];
  for (const [name, value] of bad) {
    expect(matches(properties()[name]!, value), `${name}=${value}`).toBe(false);
    expect(() => parseParameters({ [name]: value }), `${name}=${value}`).toThrow(`parameter ${name} must be`);
  }
});

test("`parametersSchema` has a rule for each pair that the controller refuses", () => {
  const rules = JSON.stringify(parametersSchema()["allOf"]);
  for (const name of ["versioning", "tags", "encryption", "lifecycle", "bucketPrefix"]) expect(rules).toContain(`["bucket","${name}"]`);
  expect(rules).toContain(
    '{"if":{"required":["kmsKeyId"]},"then":{"required":["encryption"],"properties":{"encryption":{"const":"SSE-KMS"}}}}',
  );
});
