/**
 * `nameTemplate`: how a volume's bucket or prefix is called, made of the names of its claim and PersistentVolume. The provisioner sends
 * these names among the parameters when it runs with --extra-create-metadata.
 */
import { DriverError } from "#core/errors.ts";
import type { StringMap } from "#csi/messages.ts";
import { ParameterRefusal } from "./parameter-refusal.ts";

/** Variable to the provisioner's parameter. */
const VARIABLES: Readonly<Record<string, string>> = {
  "pvc.namespace": "csi.storage.k8s.io/pvc/namespace",
  "pvc.name": "csi.storage.k8s.io/pvc/name",
  "pv.name": "csi.storage.k8s.io/pv/name",
};

const KNOWN = Object.keys(VARIABLES)
  .map((name) => `\${${name}}`)
  .join(", ");

const VARIABLE = /\$\{([^{}]*)\}/g;

/** As in keys that every store keeps as they are. */
const LITERAL = /^[A-Za-z0-9._=/-]*$/;

/** The template, checked. Throws a ParameterRefusal. */
export function parseNameTemplate(template: string): string {
  const names = [...template.matchAll(VARIABLE)].map(([, name = ""]) => name);
  const unknown = names.find((name) => !Object.hasOwn(VARIABLES, name));
  if (unknown !== undefined) throw new ParameterRefusal(`\${${unknown}} is not known; known: ${KNOWN}`);
  if (names.length === 0) throw new ParameterRefusal(`without one of ${KNOWN} only one claim could have the name`);
  const literal = template.replaceAll(VARIABLE, "x");
  if (!LITERAL.test(literal)) throw new ParameterRefusal("letters, digits and . _ = - / may stand beside the variables");
  const parts = literal.replace(/\/$/, "").split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new ParameterRefusal('no part between "/" may be empty, "." or ".."');
  }
  return template;
}

/**
 * The name for one claim. Fault `bad_argument`: the provisioner did not send a name that the template needs, or one that cannot be
 * part of a key.
 */
export function renderNameTemplate(template: string, given: StringMap): string {
  return template.replaceAll(VARIABLE, (variable, name: string) => {
    const parameter = VARIABLES[name] ?? "";
    const value = given[parameter] ?? "";
    if (value === "") {
      throw new DriverError(
        "bad_argument",
        `parameter nameTemplate needs ${variable}, and ${parameter} is not there: run csi-provisioner with --extra-create-metadata`,
      );
    }
    if (value.includes("/") || !LITERAL.test(value)) {
      throw new DriverError("bad_argument", `parameter nameTemplate: ${parameter} is ${JSON.stringify(value)}, which no name may contain`);
    }
    return value;
  });
}
