/** Is the store there: what Probe answers. Probes come every few seconds from several sidecars, so an answer is kept a while. */
import type { Clock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { CallOptions } from "#s3/object-store.ts";

export interface ReadinessOptions {
  /** Resolves when the store answers at all. */
  readonly ping: (options: CallOptions) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Good news keeps longer: a store that comes back should be seen soon. */
const GOOD_FOR_MS = 10_000;
const BAD_FOR_MS = 2_000;

/** The liveness sidecar's own default deadline is 3 s. */
const PING_DEADLINE_MS = 2_000;

/** True when the store was reached, false when not. Calls at the same time share one request; changes are logged once. */
export function createReadiness({ ping, clock, log }: ReadinessOptions): () => Promise<boolean> {
  let known: { readonly reached: boolean; readonly until: number } | undefined;
  let asking: Promise<boolean> | undefined;

  async function ask(): Promise<boolean> {
    const failure = await ping({ deadlineMs: PING_DEADLINE_MS }).then(
      () => undefined,
      (thrown: unknown) => DriverError.from(thrown),
    );
    const reached = failure === undefined;
    if (known?.reached !== reached) {
      if (reached) log.info({}, "the store answers");
      else log.warn({ fault: failure.fault, reason: failure.message }, "the store does not answer; the driver itself is well");
    }
    known = { reached, until: clock.now() + (reached ? GOOD_FOR_MS : BAD_FOR_MS) };
    return reached;
  }

  return () => {
    if (known !== undefined && clock.now() < known.until) return Promise.resolve(known.reached);
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}
