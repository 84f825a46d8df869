/** Part of the `ObjectStore` contract: tags stay with what is written anew, when the writer says that there are some. */
import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import type { Suite } from "../support/store-under-test.ts";

const TAGS = { team: "a b", "odd/+": "=1 @x" };

export function tags({ store, tagging, traits }: Suite): void {
  const tagged = async (key: string) => {
    await store().put(key, Buffer.from("x"));
    await tagging().set(key, TAGS);
    return (await store().head(key)).headers;
  };

  it.skipIf(!traits.tags)("`head` and `get` count an object's tags, and say nothing where there are none", async () => {
    await store().put("tags/none", Buffer.from("x"));
    expect((await store().head("tags/none")).headers).not.toHaveProperty("tagCount");
    await tagged("tags/some");
    expect((await store().head("tags/some")).headers.tagCount).toBe(2);
    const body = await store().get("tags/some");
    expect(body.info.headers.tagCount).toBe(2);
    body.cancel();
  });

  it.skipIf(!traits.tags)("`put` and `completeUpload` with the count keep the tags as they are by then; without, none stay", async () => {
    const headers = await tagged("tags/put");
    await tagging().set("tags/put", { changed: "since" });
    await store().put("tags/put", Buffer.from("y"), { headers });
    expect(await tagging().of("tags/put")).toEqual({ changed: "since" });
    await store().put("tags/put", Buffer.from("z"));
    expect(await tagging().of("tags/put")).toEqual({});

    const upload = await store().beginUpload("tags/parts", { headers: await tagged("tags/parts") });
    const part = await store().uploadPart(upload, 1, randomBytes(1000));
    await store().completeUpload(upload, [part]);
    expect(await tagging().of("tags/parts")).toEqual(TAGS);
    const other = await store().beginUpload("tags/other", { headers: { tagCount: 2 }, tagsOf: "tags/parts" });
    await store().completeUpload(other, [await store().uploadPart(other, 1, randomBytes(1000))]);
    expect(await tagging().of("tags/other")).toEqual(TAGS);
  });

  it.skipIf(!traits.tags)("`copy` keeps the source's tags, with headers of its own too", async () => {
    const headers = await tagged("tags/source");
    await store().copy("tags/source", "tags/target");
    await store().copy("tags/source", "tags/source", { replace: { headers, metadata: { a: "1" } } });
    expect(await tagging().of("tags/target")).toEqual(TAGS);
    expect(await tagging().of("tags/source")).toEqual(TAGS);
  });

  it("a count of tags that are gone, or that the server has none of, is no error", async () => {
    await store().put("tags/gone", Buffer.from("x"), { headers: { tagCount: 1 } });
    await store().put("tags/gone", Buffer.from("y"), { headers: { tagCount: 1 } });
    expect((await store().head("tags/gone")).size).toBe(1);
  });
}
