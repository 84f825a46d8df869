/**
 * Is the driver's own store there: what Probe and /healthz tell. Questions come every few seconds from kubelet and sidecars, so an
 * answer is kept a while.
 */
import { causeOf, explain } from "#core/causes.ts";
import type { Clock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import { SingleFlight } from "#core/single-flight.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";

export interface StoreHealth {
  readonly up: boolean;
  /** Why it is down, and what to do about it. */
  readonly detail?: string;
}

export interface StoreHealthOptions {
  /** Resolves when the store answers at all. */
  readonly ping: (options: { readonly deadlineMs: number }) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Hears when it goes and when it comes back. */
  readonly onChange?: ((report: TroubleReport) => void) | undefined;
}

/** Good news keeps longer: a store that comes back should be seen soon. */
const GOOD_FOR_MS = 10_000;
const BAD_FOR_MS = 2_000;

/** A liveness probe waits few seconds, and the answer has a way to go. */
const PING_DEADLINE_MS = 2_000;

/** Asks the store, or remembers. Never rejects. Calls at the same time share one request; changes are logged once. */
export function createStoreHealth(options: StoreHealthOptions): () => Promise<StoreHealth> {
  const { ping, clock, log, onChange } = options;
  let known: { readonly health: StoreHealth; readonly until: number } | undefined;
  let cause: ReturnType<typeof causeOf>;
  const flights = new SingleFlight<"ping", StoreHealth>();

  async function ask(): Promise<StoreHealth> {
    const failure = await ping({ deadlineMs: PING_DEADLINE_MS }).then(
      () => undefined,
      (thrown: unknown) => DriverError.from(thrown),
    );
    const health = failure === undefined ? { up: true } : { up: false, detail: explain(failure.message, causeOf(failure)) };
    if (known?.health.up !== health.up) tell(failure);
    known = { health, until: clock.now() + (health.up ? GOOD_FOR_MS : BAD_FOR_MS) };
    return health;
  }

  function tell(failure: DriverError | undefined): void {
    if (failure === undefined) {
      log.info({}, "the store answers");
      if (cause !== undefined) onChange?.({ type: "recovered", cause });
      cause = undefined;
      return;
    }
    log.warn({ fault: failure.fault, reason: failure.message }, "the store does not answer; the driver itself is well");
    cause = causeOf(failure) ?? "unreachable";
    onChange?.({ type: "trouble", cause, message: failure.message });
  }

  return () => (known !== undefined && clock.now() < known.until ? Promise.resolve(known.health) : flights.run("ping", ask));
}
