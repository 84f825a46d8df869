import { expect, test } from "vitest";
import { claimOf, PARAMETERS, parseParameters } from "#controller/parameters.ts";

const refused = (message: string | RegExp) => expect.objectContaining({ fault: "bad_argument", message: expect.stringMatching(message) });

test("`parseParameters` reads every parameter of the table", () => {
  const all = {
    region: "eu-central-1",
    versioning: "true",
    tags: "team=a, env=ci",
    bucketPrefix: "team-a-",
    endpoint: "https://s3.example:9000/",
    pathStyle: "false",
  };
  expect(Object.keys(all).sort()).toEqual(Object.keys(PARAMETERS).sort());
  expect(parseParameters(all)).toEqual({
    region: "eu-central-1",
    versioning: true,
    tags: { env: "ci", team: "a" },
    bucketPrefix: "team-a-",
    endpoint: "https://s3.example:9000",
    pathStyle: false,
  });
});

test("`parseParameters` leaves the orchestrator's own keys alone", () => {
  const given = { "csi.storage.k8s.io/pvc/name": "m2", "csi.storage.k8s.io/pvc/namespace": "ci", "csi.storage.k8s.io/pv/name": "pvc-1" };
  expect(parseParameters(given)).toEqual({});
  expect(claimOf(given)).toEqual({ namespace: "ci", name: "m2" });
});

test("`parseParameters` refuses an unknown parameter by name and lists the known ones", () => {
  for (const name of ["versionning", "Region", "__proto__x", "toString"]) {
    expect(() => parseParameters({ [name]: "x" })).toThrow(refused(new RegExp(`${name}.*known: region .*pathStyle`)));
  }
});

test("`parseParameters` refuses a wrong value by its parameter's name and says the form", () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ["region", "eu central", /parameter region must be an S3 region/],
    ["versioning", "yes", /parameter versioning must be true or false, not "yes"/],
    ["tags", "noequals", /parameter tags must be key=value.*noequals/],
    ["tags", "a=1,a=2", /a twice/],
    ["tags", "aws:x=1", /reserved/],
    ["tags", "bucketmount-volume=1", /reserved/],
    ["tags", Array.from({ length: 49 }, (_, n) => `k${n}=v`).join(","), /at most 48/],
    ["bucketPrefix", "Team", /parameter bucketPrefix must be lower-case/],
    ["endpoint", "minio:9000", /parameter endpoint must be a URL/],
    ["endpoint", "https://u:p@s3.example", /credentials belong into the secret/],
    ["endpoint", "https://s3.example?x=1", /no query/],
    ["pathStyle", "", /parameter pathStyle/],
  ];
  for (const [name, value, message] of wrong)
    expect(() => parseParameters({ [name]: value }), `${name}=${value}`).toThrow(refused(message));
});
