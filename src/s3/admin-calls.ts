/** One call of the AWS SDK as bucket administration makes it: with a client, a deadline, and our faults for what it throws. */
import type { S3Client, S3ClientConfig, S3ServiceException } from "@aws-sdk/client-s3";
import type { Cause } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import { awsEndpoint } from "./address.ts";
import { createAdminClient } from "./admin-client.ts";
import type { BucketAdminConfig } from "./bucket-admin.ts";
import { errorOfRefusal, errorOfTransport } from "./errors.ts";
import type { CallOptions } from "./object-store.ts";

type Sdk = typeof import("@aws-sdk/client-s3");

/** What a call is about, for its error. */
export interface About {
  readonly operation: string;
  readonly bucket: string;
  readonly key?: string;
}

/** What a call is made with. */
interface Tools {
  readonly sdk: Sdk;
  readonly client: S3Client;
  readonly call: { readonly abortSignal: AbortSignal };
}

interface CallSettings {
  /** Goes before what the configuration says. Clients are kept by region, and one that signs nothing. */
  readonly client?: S3ClientConfig;
  /** The request says "only if nothing is there". */
  readonly creating?: boolean;
}

/** Administration is in no application's way: it may wait out a slow server. */
const DEADLINE_MS = 60_000;

export class AdminCalls {
  /** The endpoint, for messages. */
  readonly name: string;
  readonly region: string;
  readonly #config: BucketAdminConfig;
  readonly #clients = new Map<string, Promise<S3Client>>();

  constructor(config: BucketAdminConfig) {
    this.#config = config;
    this.region = config.region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1";
    this.name = config.endpoint ?? awsEndpoint(this.region);
  }

  /** One call. The SDK is loaded by the first. */
  async run<T>(
    about: About,
    { signal, deadlineMs = DEADLINE_MS }: CallOptions,
    make: (tools: Tools) => Promise<T>,
    { client = {}, creating = false }: CallSettings = {},
  ): Promise<T> {
    const timeout = AbortSignal.timeout(deadlineMs);
    try {
      const sdk = await import("@aws-sdk/client-s3");
      const abortSignal = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
      return await make({ sdk, client: await this.#client(sdk, client), call: { abortSignal } });
    } catch (thrown) {
      if (timeout.aborted && !signal?.aborted) {
        throw new DriverError("timed_out", `${about.operation}: no answer from ${this.name} in ${deadlineMs} ms`, {
          context: { ...about, cause: "unreachable" satisfies Cause },
          cause: thrown,
        });
      }
      throw this.#errorOf(thrown, about, creating);
    }
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    this.#clients.clear();
    for (const client of clients) if (client.status === "fulfilled") client.value.destroy();
  }

  #client(sdk: Sdk, special: S3ClientConfig): Promise<S3Client> {
    const kind = special.signer ? "unsigned" : String(special.region ?? this.region);
    const found = this.#clients.get(kind) ?? Promise.resolve(createAdminClient(sdk, this.#config, { region: this.region, ...special }));
    this.#clients.set(kind, found);
    return found;
  }

  #errorOf(thrown: unknown, about: About, creating: boolean): DriverError {
    if (thrown instanceof DriverError) return thrown;
    const { name, message, $metadata, $response } = thrown as Partial<S3ServiceException> & Error;
    const status = $metadata?.httpStatusCode;
    if (status === undefined) return errorOfTransport(thrown, this.name, { ...about });
    return errorOfRefusal(
      {
        ...{ ...about, status, creating, endpoint: this.name, region: this.region, requestId: $metadata?.requestId },
        // Without a body the SDK makes up a name and a message.
        ...(/^(?:Unknown|UnknownError|\d+)$/.test(name)
          ? { code: "", message: "" }
          : { code: name, message: message === "UnknownError" ? "" : message }),
        rightRegion: $response?.headers["x-amz-bucket-region"],
        skewMs: skewOf($response?.headers["date"]),
      },
      thrown,
    );
  }
}

/** The server's clock less ours. */
function skewOf(date: string | undefined): number | undefined {
  const ms = Date.parse(date ?? "") - Date.now();
  return Number.isNaN(ms) ? undefined : ms;
}

/** Takes one fault for success. */
export function orFault(fault: "not_found" | "no_bucket"): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof DriverError && error.fault === fault)) throw error;
  };
}
