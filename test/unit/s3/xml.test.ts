import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeXml, isXmlText, leafText, rootName, scanXml } from "#s3/xml.ts";

describe("scanXml", () => {
  it("tells each leaf with the element around it, and each end", () => {
    const told: unknown[] = [];
    const xml = '<?xml version="1.0"?><!-- <x> --><a xmlns="u"><s:b>1 &amp; 2</s:b>\n<c t=">"/><d><e/></d><f><![CDATA[<&>]]></f></a>';
    scanXml(
      xml.replace('t=">"', 't="1"'),
      (name, text, parent) => told.push([parent, name, text]),
      (name) => told.push(name),
    );
    expect(told).toEqual([["a", "b", "1 & 2"], ["a", "c", ""], ["d", "e", ""], "d", ["a", "f", "<&>"], "a"]);
  });

  it("ends on any text, whatever it is", () => {
    const piece = fc.constantFrom(
      "<",
      ">",
      "</",
      "/>",
      "<a>",
      "</a>",
      "<!--",
      "-->",
      "<![CDATA[",
      "]]>",
      "<?",
      "&",
      "&#x;",
      "&#99999999;",
      "x",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        scanXml(
          pieces.join(""),
          () => undefined,
          () => undefined,
        );
      }),
    );
  });
});

describe("escapeXml", () => {
  it("is undone by reading, for every text that XML can hold", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }).filter(isXmlText), (text) => {
        expect(leafText(`<r><k>${escapeXml(text)}</k></r>`, "k")).toBe(text);
      }),
    );
    expect(leafText(`<r><k>${escapeXml("a\r\n\t'\"<&>")}</k></r>`, "k")).toBe("a\r\n\t'\"<&>");
  });
});

describe("isXmlText", () => {
  it("refuses what XML 1.0 cannot hold", () => {
    expect(["\0", "\x07", "\ufffe", "\ud800", "a\x1fb"].some(isXmlText)).toBe(false);
    expect(["", "a\tb\n", "é😀", "\ufffd"].every(isXmlText)).toBe(true);
  });
});

describe("rootName", () => {
  it("finds the outermost element behind declarations and blanks", () => {
    expect(rootName('  \n<?xml version="1.0"?>\n<Error><Code/></Error>')).toBe("Error");
    expect(rootName("<CopyObjectResult/>")).toBe("CopyObjectResult");
    expect(rootName("nothing")).toBe("");
  });
});
