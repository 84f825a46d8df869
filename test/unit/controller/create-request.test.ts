import { expect, test } from "vitest";
import { wantedVolume } from "#controller/create-request.ts";
import type { CreateVolumeRequest } from "#controller/messages.ts";
import { decodeVolumeId } from "#controller/volume-id.ts";

const DEFAULTS = { driver: "s3.csi.example", store: { endpoint: "http://default", region: "eu-1" }, clock: { now: () => 0 } };

function request(rest: Partial<CreateVolumeRequest> = {}): CreateVolumeRequest {
  const mount = { fsType: "", mountFlags: [], volumeMountGroup: "" };
  return {
    name: "Maven Cache",
    capacityRange: null,
    volumeCapabilities: [{ accessType: "mount", mount, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } }],
    parameters: {},
    secrets: {},
    volumeContentSource: null,
    mutableParameters: {},
    ...rest,
  };
}

test("`wantedVolume` names the bucket after the volume and takes what is not said from the defaults", () => {
  const wanted = wantedVolume(request(), DEFAULTS);
  expect(wanted).toMatchObject({ region: "eu-1", limitBytes: 0, store: DEFAULTS.store });
  expect(wanted.place.bucket).toMatch(/^maven-cache-/);
  expect(wanted.mark).toEqual({
    format: 1,
    driver: "s3.csi.example",
    volumeId: `v1:${wanted.place.bucket}`,
    volumeName: "Maven Cache",
    capacityBytes: 0,
    parameters: {},
    claim: {},
    createdAt: "1970-01-01T00:00:00.000Z",
  });
});

test("`wantedVolume` takes an endless limit for none and refuses a size that no number holds", () => {
  expect(wantedVolume(request({ capacityRange: { requiredBytes: 7, limitBytes: 2 ** 63 } }), DEFAULTS)).toMatchObject({
    mark: { capacityBytes: 7 },
  });
  expect(() => wantedVolume(request({ capacityRange: { requiredBytes: 2 ** 60, limitBytes: 0 } }), DEFAULTS)).toThrow(
    expect.objectContaining({ fault: "range", message: expect.stringContaining("required_bytes") }),
  );
});

test("`wantedVolume` is the same for the same request, but for the time", () => {
  const later = { ...DEFAULTS, clock: { now: () => 5000 } };
  const { createdAt: _first, ...first } = wantedVolume(request(), DEFAULTS).mark;
  const { createdAt: _second, ...second } = wantedVolume(request(), later).mark;
  expect(second).toEqual(first);
});

test("`wantedVolume` shortens a template's name so that the id fits, in the same way each time", () => {
  const meta = { "csi.storage.k8s.io/pvc/name": "c".repeat(200), "csi.storage.k8s.io/pvc/namespace": "n".repeat(63) };
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the template.
  const parameters = { bucket: "shared", nameTemplate: "${pvc.namespace}/${pvc.name}", ...meta };
  const { place, mark } = wantedVolume(request({ parameters }), DEFAULTS);
  expect(place.prefix).toMatch(/^n{63}\/c+-[0-9a-v]{16}\/$/);
  expect(Buffer.byteLength(mark.volumeId)).toBe(128);
  expect(decodeVolumeId(mark.volumeId)).toMatchObject(place);
  expect(wantedVolume(request({ parameters }), DEFAULTS).place).toEqual(place);
});

test("`wantedVolume` gives volumes of one place ids of their own", () => {
  const meta = { "csi.storage.k8s.io/pvc/name": "m2", "csi.storage.k8s.io/pvc/namespace": "ci" };
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the template.
  const parameters = { bucket: "shared", nameTemplate: "${pvc.namespace}/${pvc.name}", ...meta };
  const [one, two] = ["pvc-1", "pvc-2"].map((name) => wantedVolume(request({ name, parameters }), DEFAULTS));
  expect(one?.place).toEqual({ bucket: "shared", prefix: "ci/m2/" });
  expect(two?.place).toEqual(one?.place);
  expect(two?.mark.volumeId).not.toBe(one?.mark.volumeId);
});
