// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the templates that are tested.
import { expect, test } from "vitest";
import { parseNameTemplate, renderNameTemplate } from "#controller/name-template.ts";

const META = { "csi.storage.k8s.io/pvc/name": "m2", "csi.storage.k8s.io/pvc/namespace": "ci", "csi.storage.k8s.io/pv/name": "pvc-1" };

test("`renderNameTemplate` puts the claim's names in", () => {
  const cases = {
    "${pvc.namespace}/${pvc.name}": "ci/m2",
    "k8s/${pv.name}/": "k8s/pvc-1/",
    "ns=${pvc.namespace}.${pvc.name}-${pvc.name}": "ns=ci.m2-m2",
  };
  for (const [template, name] of Object.entries(cases)) expect(renderNameTemplate(parseNameTemplate(template), META)).toBe(name);
});

test("`renderNameTemplate` names the provisioner's flag when it did not send the names", () => {
  for (const given of [{}, { ...META, "csi.storage.k8s.io/pvc/name": "" }]) {
    expect(() => renderNameTemplate("a/${pvc.name}", given)).toThrow(
      expect.objectContaining({
        fault: "bad_argument",
        message:
          "parameter nameTemplate needs ${pvc.name}, and csi.storage.k8s.io/pvc/name is not there: run csi-provisioner with --extra-create-metadata",
      }),
    );
  }
});

test("`renderNameTemplate` lets no name make folders or leave its own", () => {
  for (const name of ["a/b", "../x", "a b", "é", "a+b"]) {
    expect(() => renderNameTemplate("${pvc.name}", { "csi.storage.k8s.io/pvc/name": name }), name).toThrow(
      expect.objectContaining({ fault: "bad_argument" }),
    );
  }
});

test("`parseNameTemplate` refuses what can make no good name", () => {
  const wrong: Readonly<Record<string, RegExp>> = {
    "${pvc.uid}": /\$\{pvc\.uid\} is not known; known: \$\{pvc\.namespace\}, \$\{pvc\.name\}, \$\{pv\.name\}/,
    "${}": /is not known/,
    constant: /only one claim/,
    "": /only one claim/,
    "${pvc.name} x": /letters, digits/,
    "${pvc.name": /only one claim/,
    "${pvc.name}}": /letters, digits/,
    "a+${pvc.name}": /letters, digits/,
    "/${pvc.name}": /no part/,
    "a//${pvc.name}": /no part/,
    "../${pvc.name}": /no part/,
    "${pvc.name}/.": /no part/,
  };
  for (const [template, message] of Object.entries(wrong)) {
    expect(() => parseNameTemplate(template), template).toThrow(expect.objectContaining({ message: expect.stringMatching(message) }));
  }
});
