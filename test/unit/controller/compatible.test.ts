import { expect, test } from "vitest";
import { requireCompatible } from "#controller/compatible.ts";
import type { Marked, VolumeMark } from "#controller/mark.ts";

const MARK: VolumeMark = {
  ...{ format: 1, driver: "d", volumeId: "v1:shared/ci/m2/+name=00000001", volumeName: "pvc-1", capacityBytes: 10 },
  ...{ parameters: { versioning: true }, claim: { namespace: "ci", name: "m2" }, createdAt: "2026-01-01T00:00:00.000Z" },
};
const PLACE = { bucket: "shared", prefix: "ci/m2/" };

function judge(there: Partial<VolumeMark>, limitBytes = 0): VolumeMark {
  return requireCompatible({ state: "marked", mark: { ...MARK, ...there } }, { place: PLACE, region: undefined, mark: MARK, limitBytes });
}

test("`requireCompatible` answers the mark that is there, whoever made it when", () => {
  const there = { createdAt: "2025-01-01T00:00:00.000Z", claim: {}, capacityBytes: 20 };
  expect(judge(there)).toEqual({ ...MARK, ...there });
});

test("`requireCompatible` refuses everything else as taken, and says by what", () => {
  const cases: readonly (readonly [Partial<VolumeMark>, number, RegExp])[] = [
    [{ driver: "other" }, 0, /another driver's mark \(other\)/],
    [{ volumeName: "pvc-0" }, 0, /another volume's mark \(pvc-0, claim ci\/m2\): each volume needs a name of its own/],
    [{ volumeName: "pvc-0", claim: {} }, 0, /another volume's mark \(pvc-0\)/],
    [
      { volumeName: "pvc-0", released: { at: "2026-02-02", onDelete: "retain" } },
      0,
      /\(pvc-0, claim ci\/m2, deleted at 2026-02-02 and kept\)/,
    ],
    [{ released: { at: "2026-02-02", onDelete: "retain" } }, 0, /deleted at 2026-02-02 and kept .*static PersistentVolume/],
    [{ parameters: { versioning: true, region: "x" } }, 0, /other parameters \(region\)/],
    [{ volumeId: "v1:x" }, 0, /another volume id \(v1:x\)/],
    [{ capacityBytes: 9 }, 0, /another size: 9 bytes, asked for 10 or more/],
    [{ capacityBytes: 30 }, 20, /another size: 30 bytes, asked for 10 to 20/],
  ];
  for (const [there, limit, message] of cases) {
    expect(() => judge(there, limit), JSON.stringify(there)).toThrow(
      expect.objectContaining({ fault: "exists", message: expect.stringMatching(message) }),
    );
  }
});

test("`requireCompatible` tells an unreadable mark from one that vanished", () => {
  const request = { place: PLACE, region: undefined, mark: MARK, limitBytes: 0 };
  const faults: readonly (readonly [Marked, string])[] = [
    [{ state: "unreadable", reason: "it is no JSON" }, "exists"],
    [{ state: "unmarked" }, "conflict"],
    [{ state: "no-bucket" }, "conflict"],
  ];
  for (const [found, fault] of faults) expect(() => requireCompatible(found, request)).toThrow(expect.objectContaining({ fault }));
});
