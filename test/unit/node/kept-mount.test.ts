import { describe, expect, test } from "vitest";
import { resolveMountOptions } from "#core/options.ts";
import { decodeKeptMount, depositOf, encodeKeptMount } from "#node/kept-mount.ts";
import type { Supervised, VolumeMount } from "#node/staged-volumes.ts";

const MOUNT: VolumeMount = {
  volumeId: "v",
  fingerprint: "f",
  keys: "secret",
  config: {
    store: { bucket: "b", prefix: "p/", region: "r", credentials: { kind: "static", accessKeyId: "A", secretAccessKey: "S" } },
    options: resolveMountOptions({ ro: true }, { uid: 0, gid: 0 }),
    mountPoint: "/staging",
    stateDir: "/before",
    cacheSizeBytes: 1000,
    logLevel: "info",
  },
};
const DRIVERS = { kind: "static", accessKeyId: "driver's", secretAccessKey: "new" } as const;
const DEFAULTS = { credentials: DRIVERS, stateDir: "/now" };

function changed(change: (kept: { format: number; mount: { config: Record<string, Record<string, unknown>> } }) => void): Uint8Array {
  const kept = JSON.parse(Buffer.from(encodeKeptMount(MOUNT)).toString());
  change(kept);
  return Buffer.from(JSON.stringify(kept));
}

describe("decodeKeptMount", () => {
  test("`decodeKeptMount` gives what was encoded, with the state folder of this process", () => {
    expect(decodeKeptMount(encodeKeptMount(MOUNT), DEFAULTS)).toEqual({ ...MOUNT, config: { ...MOUNT.config, stateDir: "/now" } });
  });

  test("`encodeKeptMount` leaves the driver's own keys out, and the next plugin's take their place", () => {
    const blob = encodeKeptMount({ ...MOUNT, keys: "driver" });
    expect(Buffer.from(blob).toString()).not.toContain("secretAccessKey");
    expect(decodeKeptMount(blob, DEFAULTS).config.store).toEqual({ ...MOUNT.config.store, credentials: DRIVERS });
  });

  test("`decodeKeptMount` gives options that an older plugin did not know their defaults", () => {
    const blob = changed(({ mount }) => {
      delete mount.config["options"]?.["passthrough"];
    });
    expect(decodeKeptMount(blob, DEFAULTS).config.options).toEqual(MOUNT.config.options);
  });

  test.each([
    ["unsupported", changed((kept) => (kept.format = 2))],
    ["corrupt", changed(({ mount }) => delete mount.config["store"]?.["bucket"])],
    ["corrupt", Buffer.from("{")],
    ["corrupt", Buffer.from("")],
    ["unsupported", Buffer.from("{}")],
  ])("`decodeKeptMount` says `%s` for what it cannot read", (fault, blob) => {
    expect(() => decodeKeptMount(blob, DEFAULTS)).toThrow(expect.objectContaining({ fault }));
  });
});

test("`depositOf` has nothing when the mount has ended: its descriptor's number may be another file's", () => {
  const supervised = (deviceFd: number | undefined) =>
    ({ mount: MOUNT, supervisor: { device: "0:57", deviceFd } }) as unknown as Supervised;
  expect(depositOf(supervised(9))).toMatchObject({ volumeId: "v", device: "0:57", fd: 9 });
  expect(depositOf(supervised(undefined))).toBeUndefined();
});
