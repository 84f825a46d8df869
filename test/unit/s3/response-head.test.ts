import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseHead } from "#s3/response-head.ts";

const parse = (text: string, method = "GET") => parseHead(Buffer.from(text, "latin1"), method);

describe("parseHead", () => {
  it("gives every header its bytes, names in lower case, and lists what came several times", () => {
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/);
    const value = fc.stringMatching(/^[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]{0,20}[\x21-\x7e\xa0-\xff])?$/);
    const blank = fc.constantFrom("", " ", "\t ");
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value, blank, blank), { maxLength: 12 }), (lines) => {
        const text = `HTTP/1.1 200 OK${lines.map(([n, v, before, after]) => `\r\n${n}:${before}${v}${after}`).join("")}`;
        const expected = new Map<string, string[]>();
        for (const [n, v] of lines) expected.set(n.toLowerCase(), [...(expected.get(n.toLowerCase()) ?? []), v]);
        const got = Object.entries(parse(text)?.headers ?? {}).map(([n, v]) => [n, [v].flat()] as const);
        expect(new Map(got)).toEqual(expected);
      }),
    );
  });

  it("tells where the body ends", () => {
    const cases: [string, string, number | undefined, boolean][] = [
      ["GET", "200 OK\r\nContent-Length: 12", 12, false],
      ["HEAD", "200 OK\r\nContent-Length: 12", 0, false],
      ["DELETE", "204 No Content", 0, false],
      ["GET", "304 Not Modified\r\nContent-Length: 12", 0, false],
      ["GET", "200 OK", undefined, false],
      ["GET", "200 OK\r\nContent-Length: 12\r\nContent-Length: 12", undefined, false],
      ["GET", "200 OK\r\nContent-Length: +1", undefined, false],
      ["GET", "403 Forbidden\r\nTransfer-Encoding: chunked", undefined, true],
      ["GET", "403 Forbidden\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", undefined, true],
      ["GET", "403 Forbidden\r\nTransfer-Encoding: gzip, chunked", undefined, false],
    ];
    for (const [method, text, length, isChunked] of cases)
      expect(parse(`HTTP/1.1 ${text}`, method), text).toMatchObject({ length, isChunked });
    expect([parse("HTTP/1.1 200 OK\r\nConnection: close")?.isKept, parse("HTTP/1.1 200")?.isKept]).toEqual([false, true]);
  });

  it.each([
    "HTTP/1.0 200 OK",
    "HTTP/1.1 99 x",
    "HTTP/1.1 999 x",
    "HTTP/1.1 2x0 x",
    "HTTP/1.1 2e2 x",
    "HTTP/1.1 2000 x",
    "ICY 200 OK",
    "",
    "HTTP/1.1 200 OK\r\nno colon",
    "HTTP/1.1 200\r\n: x",
  ])("knows nothing of %j", (text) => expect(parse(text)).toBeUndefined());
});
