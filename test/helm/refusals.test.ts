// What values.schema.json refuses, in words that name the key.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PARAMETERS } from "#controller/parameters.ts";
import { leaves, parseValues } from "../../scripts/chart/values-tree.ts";
import { CHART, template } from "../support/helm-chart.ts";

describe("the schema refuses", () => {
  it.each([
    ["a key that is not there", ["--set", "controler.replicaCount=2"], "controler"],
    ["a key that is not there, further in", ["--set", "node.image.tag=1"], "'image'"],
    ["a text for a number", ["--set", "controller.replicaCount=two"], "/controller/replicaCount"],
    ["a text for a switch", ["--set-string", "kubeEvents=yes"], "/kubeEvents"],
    ["a level that is not one", ["--set", "logLevel=verbose"], "/logLevel"],
    ["a folder with a slash at its end", ["--set", "kubeletDir=/var/lib/kubelet/"], "/kubeletDir"],
    ["an endpoint that is no URL", ["--set", "s3.endpoint=minio:9000"], "/s3/endpoint"],
    ["a driver's name that Kubernetes would refuse", ["--set", "driverName=S3_driver"], "/driverName"],
    ["a port that is none", ["--set", "node.httpPort=0"], "/node/httpPort"],
    ["a time without a unit", ["--set-string", "sidecars.provisioner.timeout=60"], "/sidecars/provisioner/timeout"],
    ["a digest that is none", ["--set", "image.digest=abc"], "/image/digest"],
    ["a strategy that is none", ["--set", "keeper.updateStrategy.type=Recreate"], "/keeper/updateStrategy/type"],
    ["a StorageClass without a name", ["--set-json", 'storageClasses=[{"parameters":{}}]'], "name"],
    [
      "a parameter that the controller does not know",
      ["--set-json", 'storageClasses=[{"name":"a","parameters":{"regoin":"x"}}]'],
      "regoin",
    ],
    ["a parameter that is no text", ["--set-json", 'storageClasses=[{"name":"a","parameters":{"versioning":true}}]'], "versioning"],
    ["a policy that Kubernetes does not have", ["--set-json", 'storageClasses=[{"name":"a","reclaimPolicy":"Recycle"}]'], "reclaimPolicy"],
    ["resources that are none", ["--set", "node.resources.limit.memory=1Gi"], "limit"],
  ])("%s", (_, args, named) => {
    const { ok, output } = template("defaults", ...args);
    expect(ok, output).toBe(false);
    expect(output).toContain("don't meet the specifications of the schema");
    expect(output).toContain(named);
  });
});

it("the schema lets pass: values of a parent chart, and every parameter of the controller", () => {
  expect(template("defaults", "--set", "global.registry=x")).toMatchObject({ ok: true });
  const schema = JSON.parse(readFileSync(`${CHART}/values.schema.json`, "utf8"));
  const { parameters } = schema.properties.storageClasses.items.properties;
  expect(Object.keys(parameters.properties)).toEqual(Object.keys(PARAMETERS));
});

it("the templates refuse a Secret without keys, and monitors without Services", () => {
  expect(template("defaults", "--set", "secret.create=true").output).toContain("secret.accessKeyID");
  expect(template("defaults", "--set", "metrics.enabled=false", "--set", "metrics.serviceMonitor.enabled=true").output).toContain(
    "metrics.enabled",
  );
});

it("README.md documents each value once", () => {
  const readme = readFileSync(`${CHART}/README.md`, "utf8");
  const documented = leaves(parseValues(readFileSync(`${CHART}/values.yaml`, "utf8")));
  expect(documented.length).toBeGreaterThan(100);
  for (const { path } of documented) expect(readme.split(`| \`${path}\` |`), path).toHaveLength(2);
});

it("`parseValues` refuses a key that nobody documented", () => {
  expect(() => parseValues("# -- Good.\na: 1\nb: 2\n")).toThrow("b has no comment");
  expect(parseValues("a:\n  # -- One.\n  b: 1\n")).toMatchObject([{ path: "a", children: [{ path: "a.b", preset: 1, doc: "One." }] }]);
});
