/** A CSI client over a Unix socket: what kubelet and external-provisioner are to the driver. */
import { type Client, credentials, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { loadService } from "#csi/load.ts";

export type CsiService = "csi.v1.Identity" | "csi.v1.Controller" | "csi.v1.Node";

export interface CsiClient {
  /** Resolves when the socket answers; rejects after the time, or when the client is closed. */
  ready(limitMs: number): Promise<void>;
  /** Calls a method by its camelCase name, such as `createVolume`. Rejects with "METHOD: CODE: message". */
  call<Reply = unknown>(method: string, request: object): Promise<Reply>;
  close(): void;
}

type Method = (request: object, options: { deadline: number }, done: (error: ServiceError | null, reply: unknown) => void) => void;

/** A cold start of Node from source on a busy machine takes seconds. */
export const READY_MS = 60_000;
const WAIT_STEP_MS = 250;
/** Long enough to delete a bucket of many objects on a slow machine. */
const CALL_MS = 300_000;

/** A client that connects when it is first used. */
export function connect(service: CsiService, socket: string): CsiClient {
  const Service = makeGenericClientConstructor(loadService(service), service);
  const client: Client = new Service(`unix://${socket}`, credentials.createInsecure(), {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
  });
  let closed = false;
  const methods = client as unknown as Readonly<Record<string, Method>>;
  return {
    ready: async (limitMs) => {
      const deadline = Date.now() + limitMs;
      for (let error = await answers(client); error !== undefined; error = await answers(client)) {
        if (closed || Date.now() > deadline) throw new Error(`${service} on ${socket}: ${error.message}`);
      }
    },
    call: <Reply>(name: string, request: object) =>
      new Promise<Reply>((resolve, reject) => {
        const done = (error: ServiceError | null, reply: unknown) =>
          error ? reject(new Error(`${name}: ${error.message}`, { cause: error })) : resolve(reply as Reply);
        methods[name]?.call(client, request, { deadline: Date.now() + CALL_MS }, done);
      }),
    close: () => {
      closed = true;
      client.close();
    },
  };
}

/** Undefined when the server answers now. A wait of the library's cannot be ended early, so it is a short one. */
function answers(client: Client): Promise<Error | undefined> {
  return new Promise((resolve) => client.waitForReady(Date.now() + WAIT_STEP_MS, resolve));
}
