/** A CSI client over a Unix socket: what kubelet and external-provisioner are to the driver. */
import { type Client, credentials, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { loadService } from "#csi/load.ts";

export type CsiService = "csi.v1.Identity" | "csi.v1.Controller" | "csi.v1.Node";

export interface CsiClient {
  /** Calls a method by its camelCase name, such as `createVolume`. Rejects with "METHOD: CODE: message". */
  call<Reply = unknown>(method: string, request: object): Promise<Reply>;
  close(): void;
}

type Method = (request: object, options: { deadline: number }, done: (error: ServiceError | null, reply: unknown) => void) => void;

/** Long enough to delete a bucket of many objects on a slow machine. */
const CALL_MS = 300_000;

/** Waits until the socket answers, at most `readyMs`. */
export async function connect(service: CsiService, socket: string, readyMs = 60_000): Promise<CsiClient> {
  const Service = makeGenericClientConstructor(loadService(service), service);
  const client: Client = new Service(`unix://${socket}`, credentials.createInsecure());
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + readyMs, (error) =>
      error ? reject(new Error(`${service} on ${socket}: ${error.message}`)) : resolve(),
    );
  });
  const methods = client as unknown as Readonly<Record<string, Method>>;
  return {
    call: <Reply>(name: string, request: object) =>
      new Promise<Reply>((resolve, reject) => {
        const done = (error: ServiceError | null, reply: unknown) =>
          error ? reject(new Error(`${name}: ${error.message}`, { cause: error })) : resolve(reply as Reply);
        methods[name]?.call(client, request, { deadline: Date.now() + CALL_MS }, done);
      }),
    close: () => client.close(),
  };
}
