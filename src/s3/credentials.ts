/**
 * Credentials: fixed ones, or AWS's usual chain. The chain's code comes from the AWS SDK and is loaded when it is
 * needed: a process with fixed keys, or with keys in the environment, never pays its 14 MiB.
 */
import type { Cause } from "#core/causes.ts";
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Credentials } from "./sign.ts";
import type { CredentialSource } from "./store-config.ts";

export type { Credentials } from "./sign.ts";

export interface CredentialProvider {
  /** Credentials that are good now; a promise only when they must be fetched. Rejects with `unauthenticated` or `unavailable`. */
  get(): Credentials | Promise<Credentials>;
  /** Forgets what is held, after the store refused it. True when others may be there. */
  refresh(): boolean;
}

/** Fetches credentials from wherever they come. */
export type CredentialFetch = () => Promise<Credentials>;

/** The provider of a source. */
export function createCredentialProvider(source: CredentialSource, clock: Clock = systemClock): CredentialProvider {
  if (source.kind === "static") return fixedCredentials(source);
  const fromEnvironment = source.profile === undefined ? environmentCredentials(process.env) : undefined;
  return fromEnvironment ? fixedCredentials(fromEnvironment) : cachedCredentials(() => fetchFromChain(source.profile), clock);
}

function fixedCredentials({ accessKeyId, secretAccessKey, sessionToken }: Credentials): CredentialProvider {
  const credentials = { accessKeyId, secretAccessKey, sessionToken };
  return { get: () => credentials, refresh: () => false };
}

/**
 * The chain's first link, without the SDK. As there, a profile in the environment goes before keys in the
 * environment, and keys that expire are not for ever.
 */
export function environmentCredentials(env: NodeJS.ProcessEnv): Credentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env;
  if (!accessKeyId || !secretAccessKey || env.AWS_PROFILE || env.AWS_CREDENTIAL_EXPIRATION) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** New ones are fetched this long before the old ones expire, while the old ones still serve. */
const REFRESH_AHEAD_MS = 5 * 60_000;
/** With less left than this they are not used any more: the request has to arrive too. */
const UNUSABLE_MS = 15_000;
/** A failed early refresh is not tried again at once. */
const REFRESH_PAUSE_MS = 10_000;

/** Keeps what `fetch` brought until shortly before it expires. One fetch at a time. */
export function cachedCredentials(fetch: CredentialFetch, clock: Clock): CredentialProvider {
  let held: Credentials | undefined;
  let flight: Promise<Credentials> | undefined;
  let quietUntilMs = 0;

  const renew = (): Promise<Credentials> => {
    flight ??= fetch()
      .then((fresh) => {
        held = fresh;
        return fresh;
      })
      .catch((error: unknown) => {
        quietUntilMs = clock.now() + REFRESH_PAUSE_MS;
        throw error;
      })
      .finally(() => {
        flight = undefined;
      });
    return flight;
  };

  return {
    get() {
      if (held === undefined) return renew();
      const leftMs = (held.expiresAtMs ?? Number.POSITIVE_INFINITY) - clock.now();
      if (leftMs < UNUSABLE_MS) return renew();
      if (leftMs < REFRESH_AHEAD_MS && clock.now() >= quietUntilMs) renew().catch(() => undefined);
      return held;
    },
    refresh() {
      held = undefined;
      return true;
    },
  };
}

async function fetchFromChain(profile: string | undefined): Promise<Credentials> {
  const { fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
  try {
    // Files are read anew: this is called when the store refuses the keys that are held, and a mounted Secret may have others by now.
    const options = { ignoreCache: true, ...(profile === undefined ? {} : { profile }) };
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await fromNodeProviderChain(options)();
    return { accessKeyId, secretAccessKey, sessionToken, expiresAtMs: expiration?.getTime() };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const where =
      profile === undefined ? "the AWS chain (environment, profile, web identity, instance role)" : `the AWS profile "${profile}"`;
    throw new DriverError("unauthenticated", `no credentials from ${where}: ${reason}`, {
      context: { cause: "no_credentials" satisfies Cause },
      cause,
    });
  }
}
