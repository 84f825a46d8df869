/** The part of the `ObjectStore` contract about conditions and about ending early. */
import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import type { Etag } from "#core/brand.ts";
import type { StoreAbilities } from "#s3/probe.ts";
import { bytesOf, fails, textOf } from "../support/store-assertions.ts";
import type { Suite } from "../support/store-under-test.ts";

const MIB = 1 << 20;
/** An ETag that no object has. */
const NO_ETAG = '"00000000000000000000000000000000"' as Etag;

/** What If-Match and If-None-Match promise, as far as the server honours them. */
export function conditions({ store, traits: { abilities } }: Suite): void {
  const holds = (ability: keyof StoreAbilities) => (abilities[ability] ? it : it.skip);
  const why = (ability: keyof StoreAbilities) => (abilities[ability] ? "" : ` (not here: the server ignores or does not know ${ability})`);

  holds("putIfNoneMatch")(`\`put\` with ifNoneMatch is exists when something is there${why("putIfNoneMatch")}`, async () => {
    await store().put("if/new", Buffer.from("1"), { ifNoneMatch: "*" });
    await fails(store().put("if/new", Buffer.from("2"), { ifNoneMatch: "*" }), "exists");
    expect(await textOf(await store().get("if/new"))).toBe("1");
  });

  holds("putIfMatch")(`\`put\` with ifMatch replaces only that version${why("putIfMatch")}`, async () => {
    const { etag } = await store().put("if/match", Buffer.from("1"));
    await store().put("if/match", Buffer.from("2"), { ifMatch: etag });
    await fails(store().put("if/match", Buffer.from("3"), { ifMatch: etag }), "stale");
    expect(await textOf(await store().get("if/match"))).toBe("2");
    await fails(store().put("if/never there", Buffer.from("3"), { ifMatch: etag }), "stale");
  });

  holds("deleteIfMatch")(`\`delete\` with ifMatch deletes only that version${why("deleteIfMatch")}`, async () => {
    const { etag } = await store().put("if/delete", Buffer.from("1"));
    await fails(store().delete("if/delete", { ifMatch: NO_ETAG }), "stale");
    await store().head("if/delete");
    await store().delete("if/delete", { ifMatch: etag });
    await fails(store().head("if/delete"), "not_found");
    await store().delete("if/delete", { ifMatch: etag });
  });

  holds("completeIfNoneMatch")(
    `\`completeUpload\` with ifNoneMatch is exists when something is there${why("completeIfNoneMatch")}`,
    async () => {
      await store().put("if/complete", Buffer.from("1"));
      const upload = await store().beginUpload("if/complete");
      const part = await store().uploadPart(upload, 1, Buffer.from("2"));
      await fails(store().completeUpload(upload, [part], { ifNoneMatch: "*" }), "exists");
      await store().abortUpload(upload);
      expect(await textOf(await store().get("if/complete"))).toBe("1");
    },
  );

  holds("copySourceIfMatch")(`\`copy\` with sourceIfMatch copies only that version${why("copySourceIfMatch")}`, async () => {
    const { etag } = await store().put("if/source", Buffer.from("1"));
    await fails(store().copy("if/source", "if/target", { sourceIfMatch: NO_ETAG }), "stale");
    await store().copy("if/source", "if/target", { sourceIfMatch: etag });
    expect(await textOf(await store().get("if/target"))).toBe("1");
  });

  holds("copyPartIfMatch")(`\`copyPart\` with ifMatch copies only of that version${why("copyPartIfMatch")}`, async () => {
    const { etag } = await store().put("if/part-source", Buffer.from("0123456789"));
    const upload = await store().beginUpload("if/part", { withCopies: true });
    const source = { key: "if/part-source", start: 2, end: 5 };
    await fails(store().copyPart(upload, 1, { ...source, ifMatch: NO_ETAG }), "stale");
    const part = await store().copyPart(upload, 1, { ...source, ifMatch: etag });
    await store().completeUpload(upload, [part]);
    expect(await textOf(await store().get("if/part"))).toBe("234");
  });

  it("`get` with ifMatch is stale when the object was replaced", async () => {
    const { etag } = await store().put("if/get", Buffer.from("1"));
    expect(await textOf(await store().get("if/get", { ifMatch: etag }))).toBe("1");
    await store().put("if/get", Buffer.from("22"));
    await fails(store().get("if/get", { ifMatch: etag }), "stale");
  });
}

/** How calls end early. */
export function ending({ store, another }: Suite): void {
  it("a call is interrupted when its signal is aborted, before and while it runs", async () => {
    await fails(store().head("objects/one", { signal: AbortSignal.abort() }), "interrupted");
    await store().put("end/large", randomBytes(2 * MIB));
    const stop = new AbortController();
    const body = await store().get("end/large", { signal: stop.signal });
    stop.abort();
    await fails(bytesOf(body), "interrupted");
  });

  it("a call is interrupted when the store is closed", async () => {
    const other = another();
    await other.put("end/other", Buffer.from("x"));
    await other.close();
    await fails(other.head("end/other"), "interrupted");
  });
}
