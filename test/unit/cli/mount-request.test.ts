import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseMountRequest, parseSource } from "#cli/mount-request.ts";
import { UsageError } from "#cli/usage-error.ts";

const LINE = { source: "s3://b", dir: "/mnt/x", o: [], given: new Map() };

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}

describe("parseSource", () => {
  test.each([
    ["s3://b", "b", ""],
    ["s3://b/", "b", ""],
    ["s3://b/p", "b", "p/"],
    ["s3://b/p/q/", "b", "p/q/"],
    ["s3://b//", "b", "/"],
    ["s3://b/a b", "b", "a b/"],
  ])("`parseSource` splits %s into bucket and prefix", (source, bucket, prefix) => {
    expect(parseSource(source)).toEqual({ bucket, prefix });
  });

  test.each(["", "b", "s3:b", "s3://", "s3:///p", "S3://b", "http://b/x"])(
    "`parseSource` names the source and the form when it is %j",
    (source) => {
      expect(refusal(() => parseSource(source))).toBe(`"${source}" is not of the form s3://BUCKET or s3://BUCKET/PREFIX`);
    },
  );

  test("`parseSource` gives a prefix that is empty or ends in a slash whatever it holds", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { prefix } = parseSource(`s3://bucket/${text}`);
        expect(prefix === "" || prefix.endsWith("/")).toBe(true);
        expect(prefix.startsWith(text)).toBe(true);
      }),
    );
  });
});

describe("parseMountRequest", () => {
  test("`parseMountRequest` lets a flag win when `-o` says otherwise", () => {
    const given = new Map([["region", "there"]] as const);
    expect(parseMountRequest({ ...LINE, o: ["region=here,ro"], given }).given).toEqual({ region: "there", ro: true });
  });

  test("`parseMountRequest` takes flags without a value as yes and leaves out those not given", () => {
    const given = new Map([
      ["ro", true],
      ["use_path_request_style", undefined],
    ] as const);
    expect(parseMountRequest({ ...LINE, given }).given).toEqual({ ro: true });
  });

  test("`parseMountRequest` reads sizes with suffixes when a cache size is given", () => {
    expect(parseMountRequest({ ...LINE, given: new Map([["cache_size", "2GiB"]] as const) }).given).toEqual({ cache_size: 2 ** 31 });
  });

  test.each([
    [{ ...LINE, o: ["bogus=1"] }, "bogus"],
    [{ ...LINE, o: ["durability=none"] }, "durability"],
    [{ ...LINE, given: new Map([["cache_size", "lots"]] as const) }, "cache_size"],
    [{ ...LINE, dir: "" }, "directory"],
  ])("`parseMountRequest` names the word when it is wrong: %j", (line, name) => {
    expect(refusal(() => parseMountRequest(line))).toContain(name);
  });

  test("`parseMountRequest` skips unknown options when mount(8) asked for it", () => {
    expect(parseMountRequest({ ...LINE, o: ["bogus,ro"], sloppy: true }).given).toEqual({ ro: true });
  });
});
