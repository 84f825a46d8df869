/** A proto package as sorted lines, one per message, field, enum value and RPC: what goes over the wire and nothing else. */
import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";

interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

interface EnumDescriptor {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number: number }[];
}

interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
  readonly enumType: readonly EnumDescriptor[];
  readonly options: { readonly mapEntry?: boolean } | null;
}

export function wireListing(proto: string, packageName: string): readonly string[] {
  const file = fileURLToPath(new URL(`../../proto/${proto}`, import.meta.url));
  const own = Object.entries(loadSync(file, { keepCase: true })).filter(([name]) => name.startsWith(`${packageName}.`));
  const messages = new Map<string, MessageDescriptor>();
  const enums = new Map<string, EnumDescriptor>();
  const rpcs: string[] = [];
  for (const [name, item] of own) {
    if (typeof item.format !== "string") {
      for (const { path, requestType, responseType, responseStream } of Object.values(item)) {
        const [from, to] = [requestType, responseType].map((type) => `${packageName}.${(type.type as MessageDescriptor).name}`);
        rpcs.push(`rpc ${path.slice(1)} ${from} -> ${responseStream ? "stream " : ""}${to}`);
      }
    } else if (item.format.includes("EnumDescriptor")) {
      enums.set(name, item.type as EnumDescriptor);
    } else {
      collect(name, item.type as MessageDescriptor, messages, enums);
    }
  }
  const known = new Set([...messages.keys(), ...enums.keys()]);
  const lines = [
    ...rpcs,
    ...[...enums].flatMap(([name, { value }]) => value.map((item) => `${name}.${item.name} = ${item.number}`)),
    ...[...messages].flatMap(([name, message]) => [`message ${name}`, ...fieldLines(name, message, known)]),
  ];
  // By code point, as sort(1) does in the C locale.
  return lines.sort();
}

/** A message and all that is declared inside it, without the entry messages of maps. */
function collect(
  name: string,
  message: MessageDescriptor,
  messages: Map<string, MessageDescriptor>,
  enums: Map<string, EnumDescriptor>,
): void {
  messages.set(name, message);
  for (const item of message.enumType) enums.set(`${name}.${item.name}`, item);
  for (const nested of message.nestedType)
    if (nested.options?.mapEntry !== true) collect(`${name}.${nested.name}`, nested, messages, enums);
}

function fieldLines(message: string, descriptor: MessageDescriptor, known: ReadonlySet<string>): string[] {
  const typeOf = (field: FieldDescriptor) =>
    field.typeName === "" ? field.type.replace("TYPE_", "").toLowerCase() : resolve(field.typeName, message, known);
  return descriptor.field.map((field) => {
    const entry = descriptor.nestedType.find((nested) => nested.options?.mapEntry === true && nested.name === field.typeName);
    const [key, value] = entry?.field ?? [];
    const repeated = field.label === "LABEL_REPEATED" ? "repeated " : "";
    const type = key && value ? `map<${typeOf(key)}, ${typeOf(value)}>` : repeated + typeOf(field);
    return `${message}.${field.name} = ${field.number} ${type}`;
  });
}

/** Innermost scope first, as the language has it. */
function resolve(typeName: string, scope: string, known: ReadonlySet<string>): string {
  const plain = typeName.replace(/^\./, "");
  for (let parts = scope.split("."); parts.length > 0; parts = parts.slice(0, -1)) {
    const candidate = [...parts, plain].join(".");
    if (known.has(candidate)) return candidate;
  }
  return plain;
}
