/** The chart's values.yaml as a tree: each key with its default and the comment that begins with `--`. README.md and values.schema.json come from it. */
import { isMap, isScalar, type Node, parseDocument, type YAMLMap } from "yaml";

export interface Value {
  /** As `--set` takes it. */
  readonly path: string;
  readonly preset: unknown;
  /** Absent for a group, whose keys are documented one by one. */
  readonly doc?: string;
  readonly children: readonly Value[];
}

/** The keys in the file's order. Throws where a key is neither documented nor a group of keys that are. */
export function parseValues(text: string): Value[] {
  const { contents } = parseDocument(text);
  if (!isMap(contents)) throw new Error("values.yaml is no map");
  return childrenOf(contents, "", contents.commentBefore ?? "");
}

/** A comment before a map's first key is kept at the map, or at the key, as the parser sees it. */
function childrenOf(map: YAMLMap, prefix: string, first: string): Value[] {
  return map.items.map(({ key, value }, index) => {
    if (!isScalar(key)) throw new Error(`values.yaml: a key below "${prefix}" is no text`);
    const comment = key.commentBefore ?? (index === 0 ? first : "");
    return valueAt(`${prefix}${String(key.value)}`, value as Node | null, comment);
  });
}

function valueAt(path: string, node: Node | null, comment: string): Value {
  const preset: unknown = node?.toJSON() ?? null;
  const doc = documentation(comment);
  if (doc !== undefined) return { path, preset, doc, children: [] };
  if (!isMap(node)) throw new Error(`values.yaml: ${path} has no comment that begins with "# --"`);
  return { path, preset, children: childrenOf(node, `${path}.`, node.commentBefore ?? "") };
}

function documentation(comment: string): string | undefined {
  return /^ ?-- ([\s\S]+)$/
    .exec(comment)?.[1]
    ?.replaceAll(/\s*\n\s*/g, " ")
    .trim();
}

/** The documented values alone. */
export function leaves(values: readonly Value[]): Value[] {
  return values.flatMap((value) => (value.doc === undefined ? leaves(value.children) : [value]));
}
