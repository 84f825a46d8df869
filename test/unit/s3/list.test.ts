import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseListPage } from "#s3/list.ts";

const contents = (key: string, more = "") =>
  `<Contents><Key>${key}</Key><LastModified>2026-01-31T10:00:00.123Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>12</Size>${more}</Contents>`;
const result = (inner: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</ListBucketResult>`;

describe("parseListPage", () => {
  it("reads objects, prefixes and the way to the next page", () => {
    const xml = result(
      `<Name>b</Name><Prefix>p/</Prefix><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>${contents(
        "p/a%20b%2Bc+d%C3%A9",
        "<StorageClass>GLACIER</StorageClass><Owner><ID>1</ID><DisplayName>x</DisplayName></Owner>",
      )}<CommonPrefixes><Prefix>p/d%2F</Prefix></CommonPrefixes>`,
    );
    expect(parseListPage(xml)).toEqual({
      objects: [{ key: "p/a b+c dé", size: 12, etag: '"e1"', lastModified: Date.UTC(2026, 0, 31, 10, 0, 0, 123), storageClass: "GLACIER" }],
      prefixes: ["p/d/"],
      next: "t+/=",
    });
  });

  it("takes keys as they are when the server passed over the encoding", () => {
    const page = parseListPage(result(`<IsTruncated>false</IsTruncated>${contents("100%25+a&amp;&#x1F600;&lt;")}`));
    expect(page.objects[0]?.key).toBe("100%25+a&😀<");
    expect(page.next).toBeUndefined();
  });

  it("has no next page when the list is not truncated", () => {
    expect(parseListPage(result("<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>")).next).toBeUndefined();
  });

  it("reads empty elements, an empty page and ETags without quotes", () => {
    expect(parseListPage(result("<Prefix/><Delimiter></Delimiter><IsTruncated>false</IsTruncated>"))).toEqual({
      objects: [],
      prefixes: [],
    });
    const bare =
      "<Contents><Key>k</Key><ETag>e2</ETag><Size>0</Size><LastModified>2026-01-31T10:00:00Z</LastModified><StorageClass/></Contents>";
    expect(parseListPage(result(bare)).objects).toEqual([{ key: "k", size: 0, etag: '"e2"', lastModified: Date.UTC(2026, 0, 31, 10) }]);
  });

  it("reads MinIO's metadata", () => {
    const metadata =
      "<UserMetadata><X-Amz-Meta-Mode>33188</X-Amz-Meta-Mode><content-type>text/x</content-type><expires>x</expires></UserMetadata>";
    const [first, second] = parseListPage(result(contents("a", metadata) + contents("b"))).objects;
    expect(first?.details).toEqual({ metadata: { mode: "33188" }, contentType: "text/x" });
    expect(second?.details).toBeUndefined();
  });

  it("brings back any key that a server encodes", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme", minLength: 1 }), { maxLength: 5 }), (keys) => {
        const xml = result(`<EncodingType>url</EncodingType>${keys.map((key) => contents(encodeURIComponent(key))).join("\n  ")}`);
        expect(parseListPage(xml).objects.map(({ key }) => key)).toEqual(keys);
      }),
    );
  });
});
