/** A controller on a Unix socket, with a real S3 server behind it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createControllerServices } from "#controller/service.ts";
import { silentLogger } from "#core/log.ts";
import type { Handlers } from "#csi/interceptors.ts";
import { startCsiServer } from "#csi/server.ts";
import type { BucketAdminConfig } from "#s3/bucket-admin.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";

export interface ControllerWorld {
  readonly s3: S3Server;
  readonly store: BucketAdminConfig;
  readonly socketPath: string;
  stop(): Promise<void>;
}

/** csi-sanity's clean-up after a controller test asks a node too, even for a volume that was never near one. */
const ABSENT_NODE: Handlers = {
  NodeGetCapabilities: async () => ({ capabilities: [] }),
  NodeUnpublishVolume: async () => ({}),
};

export async function startControllerWorld(kind: ServerKind): Promise<ControllerWorld> {
  const dir = await mkdtemp(join(tmpdir(), "controller-"));
  const s3 = await startServer(kind);
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const store = { endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } };
  const { services, close } = createControllerServices({ defaultStore: store, createAdmin: createBucketAdmin, log: silentLogger });
  const server = await startCsiServer({ endpoint: `unix://${dir}/csi.sock`, services: { ...services, "csi.v1.Node": ABSENT_NODE } });
  return {
    s3,
    store,
    socketPath: server.socketPath,
    async stop() {
      await server.close(0);
      await close();
      await s3.stop();
      await rm(dir, { recursive: true });
    },
  };
}
