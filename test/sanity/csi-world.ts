/** Controller and node plugin on one Unix socket, with a real S3 server and real engines behind them. */
import { createControllerServices } from "#controller/service.ts";
import { silentLogger } from "#core/log.ts";
import { createBucketAdmin } from "#s3/index.ts";
import { type NodeWorld, startNodeWorld } from "../support/node-world.ts";
import { type S3Server, type ServerKind, startServer } from "../support/s3-servers.ts";

export interface CsiWorld {
  readonly s3: S3Server;
  readonly node: NodeWorld;
  stop(): Promise<void>;
}

export async function startCsiWorld(kind: ServerKind): Promise<CsiWorld> {
  const s3 = await startServer(kind);
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const defaultStore = { endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } };
  const controller = createControllerServices({ defaultStore, createAdmin: createBucketAdmin, log: silentLogger });
  // The identity is the node's: both say the same.
  const node = await startNodeWorld({ s3, services: { "csi.v1.Controller": controller.services["csi.v1.Controller"] } });
  return {
    s3,
    node,
    async stop() {
      await node.stop();
      await controller.close();
      await s3.stop();
    },
  };
}
