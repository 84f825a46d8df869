/** The StorageClass parameters as a manual and as a JSON schema: pure functions of the controller's table. */
import { PARAMETERS, type ParameterName } from "#controller/parameters.ts";
import { jsonText } from "./chart/json-text.ts";
import { table } from "./generated-docs.ts";

type Schema = Readonly<Record<string, unknown>>;

interface Row {
  readonly form: string;
  readonly doc: string;
  readonly preset?: string;
  readonly choices?: readonly string[];
  readonly pattern?: string;
  readonly wholeBucket?: true;
  readonly needs?: { readonly name: ParameterName; readonly value?: string };
}

const ROWS = Object.entries(PARAMETERS as Record<string, Row>);

/** docs/PARAMETERS.md: its table; the text around it is kept. */
export function parametersTable(): string {
  return table(
    ["parameter", "value", "without it", "meaning"],
    ROWS.map(([name, row]) => [
      `\`${name}\``,
      row.choices === undefined ? row.form : row.choices.map((choice) => `\`${choice}\``).join(", "),
      row.preset ?? "",
      [row.doc, ...conditionsOf(row)].join(" "),
    ]),
  );
}

function conditionsOf({ wholeBucket, needs }: Row): string[] {
  return [
    ...(wholeBucket ? ["Not with `bucket`."] : []),
    ...(needs ? [`Needs \`${needs.name}\`${needs.value === undefined ? "" : ` \`${needs.value}\``}.`] : []),
  ];
}

/** What `parameters` of a StorageClass may be. The values are texts, whatever they mean: `"true"`, not `true`. */
export function parametersSchema(): Schema {
  return {
    type: "object",
    additionalProperties: false,
    patternProperties: { "^csi\\.storage\\.k8s\\.io/[a-z-]+$": { type: "string" } },
    properties: Object.fromEntries(ROWS.map(([name, row]) => [name, schemaOf(row)])),
    allOf: ROWS.flatMap(([name, row]) => rulesOf(name, row)),
  };
}

function schemaOf({ form, doc, choices, pattern }: Row): Schema {
  return {
    description: `${doc} Value: ${form}.`,
    type: "string",
    ...(choices === undefined ? {} : { enum: choices }),
    ...(pattern === undefined ? {} : { pattern }),
  };
}

/** What goes together with what, as the controller checks it. */
function rulesOf(name: string, { wholeBucket, needs }: Row): Schema[] {
  return [
    ...(wholeBucket ? [{ not: { required: ["bucket", name] } }] : []),
    ...(needs === undefined
      ? []
      : [
          {
            if: { required: [name] },
            // biome-ignore lint/suspicious/noThenProperty: JSON Schema's word.
            then: {
              required: [needs.name],
              ...(needs.value === undefined ? {} : { properties: { [needs.name]: { const: needs.value } } }),
            },
          },
        ]),
  ];
}

/** parameters.schema.json: for those who check their StorageClasses before they apply them. */
export function parametersSchemaFile(): string {
  return jsonText({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Parameters of a StorageClass of bucketmount",
    ...parametersSchema(),
  });
}
