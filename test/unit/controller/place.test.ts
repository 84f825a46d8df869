import { expect, test } from "vitest";
import { nameOf, ownFolder, placeKey } from "#controller/place.ts";

test("places are told apart, and named for people", () => {
  const places = [
    { bucket: "b", prefix: "" },
    { bucket: "b", prefix: "a/" },
    { bucket: "b", prefix: "a/b/" },
    { bucket: "b2", prefix: "" },
  ];
  expect(new Set(places.map(placeKey)).size).toBe(places.length);
  expect(places.slice(0, 2).map(nameOf)).toEqual(["bucket b", "prefix a/ of bucket b"]);
  expect(places.slice(0, 2).map(ownFolder)).toEqual([".bucketmount/", "a/.bucketmount/"]);
});
