import { expect, test } from "vitest";
import { VolumeTroubles } from "#node/volume-troubles.ts";

const trouble = (cause: "disk_full" | "access_denied" | "engine_crashed") =>
  ({ type: "trouble", cause, message: `${cause} here` }) as const;

test("`VolumeTroubles` keeps each volume's causes until they are over", () => {
  const troubles = new VolumeTroubles();
  troubles.note("a", trouble("disk_full"));
  troubles.note("a", trouble("access_denied"));
  troubles.note("b", trouble("disk_full"));
  troubles.note("a", { type: "recovered", cause: "disk_full" });
  expect(troubles.of("a")).toEqual([{ cause: "access_denied", message: "access_denied here" }]);
  expect(troubles.of("b")).toHaveLength(1);
  expect(troubles.of("c")).toEqual([]);
});

test("`VolumeTroubles` forgets with a crash what the dead engine said", () => {
  const troubles = new VolumeTroubles();
  troubles.note("a", trouble("access_denied"));
  troubles.note("a", trouble("engine_crashed"));
  expect(troubles.of("a").map(({ cause }) => cause)).toEqual(["engine_crashed"]);
  troubles.note("a", { type: "recovered", cause: "engine_crashed" });
  expect(troubles.of("a")).toEqual([]);
});

test("`keepOnly` forgets volumes that are gone", () => {
  const troubles = new VolumeTroubles();
  troubles.note("a", trouble("disk_full"));
  troubles.note("b", trouble("disk_full"));
  troubles.keepOnly(["b"]);
  expect([troubles.of("a").length, troubles.of("b").length]).toEqual([0, 1]);
});
