import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createPluginEvents } from "#cli/plugin-events.ts";
import { UsageError } from "#cli/usage-error.ts";
import { CAUSES } from "#core/causes.ts";
import { silentLogger } from "#core/log.ts";
import { type FakeKubeApi, startFakeKubeApi } from "../../support/fake-kube-api.ts";

let dir = "";
let kube: FakeKubeApi;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "bucketmount-events-"));
  kube = await startFakeKubeApi();
});
afterEach(async () => {
  await kube.stop();
  rmSync(dir, { recursive: true });
});

const POD = { POD_NAME: "controller-1", POD_NAMESPACE: "bucketmount", POD_UID: "uid" };
const events = (env: NodeJS.ProcessEnv) =>
  createPluginEvents({ env: { KUBECONFIG: kube.writeKubeconfig(dir), ...env }, driverName: "s3.test", log: silentLogger });

test("`onStoreChange` tells on the plugin's own pod that the store went and came back", async () => {
  const { onStoreChange, close, recorder } = events(POD);
  onStoreChange({ type: "trouble", cause: "unknown_host", message: "cannot reach http://s3" });
  onStoreChange({ type: "recovered", cause: "unknown_host" });
  await recorder.drain(30_000);
  await close();
  const about = { kind: "Pod", namespace: "bucketmount", name: "controller-1", uid: "uid" };
  expect(kube.events).toMatchObject([
    { involvedObject: about, type: "Warning", reason: "HostNotFound", message: `cannot reach http://s3. ${CAUSES.unknown_host.fix}` },
    { involvedObject: about, type: "Normal", reason: "Recovered", message: "the driver's store answers: HostNotFound is over" },
  ]);
  expect(kube.events[0]?.source).toEqual({ component: "s3.test", host: "controller-1" });
});

test("`onStoreChange` says nothing outside a pod", async () => {
  const { onStoreChange, recorder } = events({});
  onStoreChange({ type: "trouble", cause: "unknown_host", message: "cannot reach http://s3" });
  await recorder.drain(30_000);
  expect(kube.requests).toEqual([]);
});

test("`createPluginEvents` refuses at once where there is no cluster", () => {
  expect(() => createPluginEvents({ env: {}, driverName: "s3.test", log: silentLogger })).toThrow(UsageError);
});
