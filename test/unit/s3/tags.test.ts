import { afterEach, describe, expect, it } from "vitest";
import { parseTagging } from "#s3/tags.ts";
import { answer, refuse, type ScriptedS3, startScriptedS3 } from "../../support/scripted-s3.ts";

let server: ScriptedS3 | undefined;
afterEach(() => server?.stop());

const TWO =
  '<?xml version="1.0"?><Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>' +
  "<Tag><Key>a&amp;b</Key><Value>1 2/ü</Value></Tag><Tag><Value/><Key>empty</Key></Tag></TagSet></Tagging>";
const HEADER = "a%26b=1%202%2F%C3%BC&empty=";

it("`parseTagging` makes of a tag set what a PUT is told", () => {
  expect(parseTagging(TWO)).toBe(HEADER);
  expect(parseTagging("<Tagging><TagSet/></Tagging>")).toBe("");
});

describe("what replaces an object with tags", () => {
  const sent = () => server?.seen.map(({ method, path, headers }) => `${method} ${path} ${headers["x-amz-tagging"] ?? "-"}`);

  it("asks for them, and for none where no count was given", async () => {
    server = await startScriptedS3(({ path }, response) => (path.includes("tagging") ? answer(response, TWO) : answer(response)));
    await server.store().put("k", Buffer.from("x"), { headers: { tagCount: 2 } });
    await server.store().put("k", Buffer.from("x"), { headers: { contentType: "text/x" } });
    expect(sent()).toEqual(["GET /bucket/k?tagging= -", `PUT /bucket/k ${HEADER}`, "PUT /bucket/k -"]);
  });

  it("is written without them where the key may not read them, and where it may not write them", async () => {
    server = await startScriptedS3(({ path }, response) =>
      path.includes("tagging") ? refuse(response, 403, "AccessDenied") : answer(response),
    );
    await server.store().put("k", Buffer.from("x"), { headers: { tagCount: 2 } });
    expect(sent()).toEqual(["GET /bucket/k?tagging= -", "PUT /bucket/k -"]);
    await server.stop();
    server = await startScriptedS3(({ path, headers }, response) => {
      if (headers["x-amz-tagging"] !== undefined) refuse(response, 403, "AccessDenied");
      else answer(response, path.includes("tagging") ? TWO : "");
    });
    await server.store().put("k", Buffer.from("x"), { headers: { tagCount: 2 } });
    expect(sent()).toEqual(["GET /bucket/k?tagging= -", `PUT /bucket/k ${HEADER}`, "PUT /bucket/k -"]);
  });

  it("is not written when a condition refuses it", async () => {
    server = await startScriptedS3(({ method }, response) =>
      method === "GET" ? answer(response, TWO) : refuse(response, 412, "PreconditionFailed"),
    );
    const writing = server.store().put("k", Buffer.from("x"), { headers: { tagCount: 2 }, ifMatch: '"old"' as never });
    await expect(writing).rejects.toMatchObject({ fault: "stale" });
    expect(sent()).toHaveLength(2);
  });
});
