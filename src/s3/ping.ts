/** Whether a store is there at all, without credentials, without a bucket and without the SDK: what a health check wants to know. */
import type { Cause } from "#core/causes.ts";
import { DriverError } from "#core/errors.ts";
import { addressOf } from "./address.ts";
import { createConnections } from "./dispatcher.ts";
import { errorOfTransport } from "./errors.ts";

export interface PingConfig {
  /** Undefined: AWS's own for the region. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly caBundle?: string | undefined;
}

export interface StorePing {
  /** Resolves when the store answers anything but 5xx. Rejects with why not, within `deadlineMs`. */
  ping(options: { readonly deadlineMs: number }): Promise<void>;
  close(): Promise<void>;
}

/** Nothing is sent yet. Throws `bad_argument` for an endpoint that is no URL, and for a CA bundle that cannot be read. */
export function createStorePing({ endpoint, region = "us-east-1", caBundle }: PingConfig): StorePing {
  const { origin, endpoint: url } = addressOf({ bucket: "any", endpoint, region, pathStyle: true });
  const { dispatcher } = createConnections({ origin, connections: 1, caBundle });
  return {
    async ping({ deadlineMs }) {
      const signal = AbortSignal.timeout(deadlineMs);
      let status: number;
      try {
        const response = await dispatcher.request({ origin, path: "/", method: "GET", signal });
        status = response.statusCode;
        await response.body.dump();
      } catch (thrown) {
        throw errorOfTransport(signal.aborted ? signal.reason : thrown, url, { operation: "GET /" });
      }
      if (status < 500) return;
      throw new DriverError("unavailable", `the S3 endpoint ${url} answers HTTP ${status}`, {
        context: { status, cause: "store_failing" satisfies Cause },
      });
    },
    close: () => dispatcher.destroy(),
  };
}
