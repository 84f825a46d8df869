/** A gRPC client for the services of proto/, on a Unix socket: calls as promises. */
import { type Client, credentials, Metadata, makeClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { loadService, type ServiceName } from "#csi/load.ts";

export interface GrpcClient {
  /** Rejects with grpc-js's ServiceError: `code` is a number of `status`. */
  // biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what the test checks.
  call(method: string, request?: object, options?: { deadlineMs?: number }): Promise<any>;
  close(): void;
}

export function connectGrpc(socketPath: string, service: ServiceName): GrpcClient {
  const Constructor = makeClientConstructor(loadService(service), service);
  const client = new Constructor(`unix:${socketPath}`, credentials.createInsecure());
  type Unary = (request: object, metadata: Metadata, options: object, done: (error: ServiceError | null, answer: unknown) => void) => void;
  return {
    call: (method, request = {}, { deadlineMs = 30_000 } = {}) =>
      new Promise((resolve, reject) => {
        const unary = (client as Client & Record<string, Unary>)[method];
        if (unary === undefined) throw new Error(`${service} has no ${method}`);
        unary.call(client, request, new Metadata(), { deadline: Date.now() + deadlineMs }, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
      }),
    close: () => client.close(),
  };
}
