/** The connections: undici's pool, with TLS trust, and through a proxy where the volume or the environment names one. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { type Dispatcher, EnvHttpProxyAgent, Pool } from "undici";
import { DriverError } from "#core/errors.ts";
import { DirectConnections } from "./direct-connections.ts";

export interface DispatcherConfig {
  readonly origin: string;
  readonly connections: number;
  /** PEM of additional certificate authorities. */
  readonly caBundle?: string | undefined;
  /** URL of a proxy for everything. Undefined: HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
  readonly proxy?: string | undefined;
}

/** A connection attempt that takes longer has met a dead address. */
const CONNECT_MS = 5_000;

/** S3 closes idle connections after some 5 to 20 s. One that was closed as we wrote to it costs a retry. */
const KEEP_ALIVE_MS = 10_000;

export interface Connections {
  readonly dispatcher: Dispatcher;
  /** For bodies that go straight into a buffer; a proxy has undici alone. */
  readonly direct?: DirectConnections;
  /** The proxy that was given, as host and port: for messages. */
  readonly via?: string;
}

/** Connections to one origin. Time limits of requests are the caller's, so undici's own are off. */
export function createConnections({ origin, connections, caBundle, proxy }: DispatcherConfig): Connections {
  const tls = origin.startsWith("https:") ? { secureContext: trust(caBundle) } : {};
  const options = {
    ...{ connections, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: 0, bodyTimeout: 0 },
    connect: { timeout: CONNECT_MS, ...tls },
  };
  if (proxy !== undefined)
    return { dispatcher: throughProxy(proxy, { ...options, requestTls: tls }, caBundle), via: URL.parse(proxy)?.host ?? "" };
  if (hasProxy(origin)) return { dispatcher: new EnvHttpProxyAgent({ ...options, requestTls: tls }) };
  const dispatcher = new Pool(origin, options);
  const direct = new DirectConnections({ origin, ...tls, connectMs: CONNECT_MS, idleMs: KEEP_ALIVE_MS, fallback: dispatcher });
  return { dispatcher, direct };
}

/** Whatever NO_PROXY says: the proxy was named for this store. */
function throughProxy(proxy: string, options: EnvHttpProxyAgent.Options, caBundle: string | undefined): Dispatcher {
  // Never in the message: it may hold a password.
  if (!/^https?:$/.test(URL.parse(proxy)?.protocol ?? ""))
    throw new DriverError("bad_argument", "the proxy must be a URL, http:// or https://");
  const proxyTls = proxy.startsWith("https:") ? { proxyTls: { secureContext: trust(caBundle) } } : {};
  return new EnvHttpProxyAgent({ ...options, ...proxyTls, httpProxy: proxy, httpsProxy: proxy, noProxy: "" });
}

/** Node's roots, the machine's own, and the bundle. One context for all connections: making it parses all certificates. */
function trust(caBundle: string | undefined): SecureContext {
  const ca = new Set([
    ...getCACertificates("default"),
    ...getCACertificates("system"),
    ...(caBundle === undefined ? [] : certificatesIn(caBundle)),
  ]);
  return createSecureContext({ ca: [...ca] });
}

/** Node passes over what it cannot read, and the first connection would fail without a hint. */
function certificatesIn(caBundle: string): readonly string[] {
  const found = caBundle.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const pem of found) new X509Certificate(pem);
  } catch (cause) {
    throw new DriverError("bad_argument", "the CA bundle holds a certificate that cannot be read", { cause });
  }
  if (found.length === 0) throw new DriverError("bad_argument", "the CA bundle holds no PEM certificate");
  return found;
}

function hasProxy(origin: string): boolean {
  const { env } = process;
  return origin.startsWith("https:")
    ? Boolean(env.https_proxy ?? env.HTTPS_PROXY ?? env.http_proxy ?? env.HTTP_PROXY)
    : Boolean(env.http_proxy ?? env.HTTP_PROXY);
}
