import { expect, it } from "vitest";
import { storeUrl } from "#core/store-url.ts";

it("`storeUrl` names bucket and prefix, without the slash at the end", () => {
  expect(storeUrl({ bucket: "b", prefix: "" })).toBe("s3://b");
  expect(storeUrl({ bucket: "b", prefix: "a/c/" })).toBe("s3://b/a/c");
});
