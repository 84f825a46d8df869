/**
 * `KubeApi`: the few requests that this driver makes to the Kubernetes API, on @kubernetes/client-node.
 *
 * The library is loaded at the first request, which most processes never make, and in a cluster only the generated core API of it: its
 * KubeConfig, which reads every form of kubeconfig file, brings all other APIs along. RSS of a node plugin: 94 MiB before its first Event, 115
 * after it, 139 with KubeConfig.
 */
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { Configuration, CoreV1Event, RequestContext, ResponseContext, V1PersistentVolume } from "@kubernetes/client-node";
import { DriverError, type Fault } from "#core/errors.ts";

/** A PersistentVolume, as far as it says whose files a volume holds. */
export interface PersistentVolume {
  readonly name: string;
  /** Of its CSI source; undefined for other volumes. */
  readonly driver: string | undefined;
  readonly volumeHandle: string | undefined;
  readonly claim: ObjectName | undefined;
}

export interface ObjectName {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

export type NewEvent = CoreV1Event & { readonly metadata: { readonly name: string; readonly namespace: string } };

/** Rejections are DriverErrors: `denied`, `unauthenticated`, `not_found`, `exists`, `throttled`, `unavailable`, `timed_out`, `bad_argument`. */
export interface KubeApi {
  readPersistentVolume(name: string): Promise<PersistentVolume>;
  /** One page; `next` is undefined on the last. */
  listPersistentVolumes(
    limit: number,
    next?: string,
  ): Promise<{ readonly items: readonly PersistentVolume[]; readonly next: string | undefined }>;
  createEvent(event: NewEvent): Promise<void>;
  /** `change` replaces the fields that it has. */
  patchEvent(namespace: string, name: string, change: Partial<CoreV1Event>): Promise<void>;
}

/** An API server that does not answer for so long is as good as none. */
const REQUEST_MS = 10_000;
/** Where the kubelet puts a pod's own credentials. */
const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface KubeApiOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly serviceAccountDir?: string;
  readonly requestMs?: number;
}

/**
 * The API of `KUBECONFIG`, else of the cluster that this process runs in. Nothing is loaded or sent yet. Fault `bad_argument` when the
 * environment has neither.
 */
export function createKubeApi({ env, serviceAccountDir = SERVICE_ACCOUNT_DIR, requestMs = REQUEST_MS }: KubeApiOptions): KubeApi {
  const { KUBECONFIG: file, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (file) return new ClientApi(() => fileConfiguration(file), requestMs);
  if (!host || !port) {
    throw new DriverError(
      "bad_argument",
      "--kube-events needs the Kubernetes API: run in a pod with a service account (automountServiceAccountToken), or set KUBECONFIG",
    );
  }
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  return new ClientApi(() => clusterConfiguration(server, serviceAccountDir), requestMs);
}

type CoreApi = typeof import("@kubernetes/client-node/dist/gen/apis/CoreV1Api.js");
type Requests = InstanceType<CoreApi["CoreV1ApiRequestFactory"]>;
type Responses = InstanceType<CoreApi["CoreV1ApiResponseProcessor"]>;

interface Client {
  readonly configuration: Configuration;
  readonly requests: Requests;
  readonly responses: Responses;
}

class ClientApi implements KubeApi {
  readonly #configure: () => Promise<Configuration>;
  readonly #requestMs: number;
  #client: Promise<Client> | undefined;

  constructor(configure: () => Promise<Configuration>, requestMs: number) {
    this.#configure = configure;
    this.#requestMs = requestMs;
  }

  async readPersistentVolume(name: string): Promise<PersistentVolume> {
    const found = await this.#call(
      "get persistentvolumes",
      (requests) => requests.readPersistentVolume(name),
      async (responses, context) => (await responses.readPersistentVolumeWithHttpInfo(context)).data,
    );
    return volumeOf(found);
  }

  async listPersistentVolumes(limit: number, next?: string) {
    const page = await this.#call(
      "list persistentvolumes",
      (requests) => requests.listPersistentVolume(undefined, undefined, next, undefined, undefined, limit),
      async (responses, context) => (await responses.listPersistentVolumeWithHttpInfo(context)).data,
    );
    return { items: page.items.map(volumeOf), next: page.metadata?._continue || undefined };
  }

  async createEvent(event: NewEvent): Promise<void> {
    await this.#call(
      "create events",
      (requests) => requests.createNamespacedEvent(event.metadata.namespace, event),
      (responses, context) => responses.createNamespacedEventWithHttpInfo(context),
    );
  }

  async patchEvent(namespace: string, name: string, change: Partial<CoreV1Event>): Promise<void> {
    await this.#call(
      "patch events",
      async (requests) => {
        const context = await requests.patchNamespacedEvent(name, namespace, change);
        // The generated code says that every patch is a JSON Patch.
        context.setHeaderParam("Content-Type", "application/merge-patch+json");
        return context;
      },
      (responses, context) => responses.patchNamespacedEventWithHttpInfo(context),
    );
  }

  async #call<T>(
    what: string,
    make: (requests: Requests) => Promise<RequestContext>,
    read: (responses: Responses, context: ResponseContext) => Promise<T>,
  ): Promise<T> {
    try {
      this.#client ??= this.#load();
      const { configuration, requests, responses } = await this.#client;
      const request = await make(requests);
      request.setSignal(AbortSignal.timeout(this.#requestMs));
      return await read(responses, await configuration.httpApi.send(request).toPromise());
    } catch (thrown) {
      throw errorOf(what, thrown);
    }
  }

  async #load(): Promise<Client> {
    try {
      const configuration = await this.#configure();
      const { CoreV1ApiRequestFactory, CoreV1ApiResponseProcessor } = await import("@kubernetes/client-node/dist/gen/apis/CoreV1Api.js");
      return { configuration, requests: new CoreV1ApiRequestFactory(configuration), responses: new CoreV1ApiResponseProcessor() };
    } catch (error) {
      // A service account's folder may come late, and a file be mended.
      this.#client = undefined;
      throw error;
    }
  }
}

/** As every Kubernetes client finds its way: any form of user, certificates and proxy. */
async function fileConfiguration(file: string): Promise<Configuration> {
  const { createConfiguration, KubeConfig, ServerConfiguration } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromFile(file);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new DriverError("bad_argument", `KUBECONFIG ${file}: its current context names no cluster`);
  return createConfiguration({ baseServer: new ServerConfiguration(server, {}), authMethods: { default: config } });
}

async function clusterConfiguration(server: string, dir: string): Promise<Configuration> {
  const ca = await readFile(join(dir, "ca.crt"));
  const [{ createConfiguration }, { ServerConfiguration }, { Agent }] = await Promise.all([
    import("@kubernetes/client-node/dist/gen/configuration.js"),
    import("@kubernetes/client-node/dist/gen/servers.js"),
    import("undici"),
  ]);
  const dispatcher = new Agent({ connect: { ca } });
  const authenticate = async (context: RequestContext) => {
    // Read each time: the kubelet replaces it before it expires.
    const token = await readFile(join(dir, "token"), "utf8");
    context.setHeaderParam("Authorization", `Bearer ${token.trim()}`);
    context.setDispatcher(dispatcher);
  };
  return createConfiguration({
    baseServer: new ServerConfiguration(server, {}),
    authMethods: { default: { getName: () => "service account", applySecurityAuthentication: authenticate } },
  });
}

function volumeOf({ metadata, spec }: V1PersistentVolume): PersistentVolume {
  const { namespace, name, uid } = spec?.claimRef ?? {};
  return {
    name: metadata?.name ?? "",
    driver: spec?.csi?.driver,
    volumeHandle: spec?.csi?.volumeHandle,
    claim: namespace === undefined || name === undefined ? undefined : { namespace, name, uid },
  };
}

const STATUS_FAULTS: Readonly<Record<number, Fault>> = {
  401: "unauthenticated",
  403: "denied",
  404: "not_found",
  409: "exists",
  429: "throttled",
};

function errorOf(what: string, thrown: unknown): DriverError {
  if (thrown instanceof DriverError) return thrown;
  const { code, body, name, message, cause } = thrown as Error & { code?: unknown; body?: unknown };
  // Before the code: that of a DOMException is a number too.
  if (name === "TimeoutError") return new DriverError("timed_out", `the Kubernetes API did not answer in time: ${what}`);
  if (typeof code === "number") {
    const told = statusMessage(body) ?? `HTTP ${code}`;
    const fault = STATUS_FAULTS[code] ?? (code >= 500 ? "unavailable" : "bad_argument");
    return new DriverError(fault, `the Kubernetes API refused to ${what}: ${told}`, { context: { status: code } });
  }
  // undici's fetch hides what happened in the cause.
  const reason = cause instanceof Error ? cause : (thrown as Error);
  const { fault } = DriverError.from(reason);
  return new DriverError(fault === "internal" ? "unavailable" : fault, `the Kubernetes API: ${what}: ${reason.message || message}`, {
    cause: reason,
  });
}

/** Of a Status object, which the library leaves as text where the API's description does not name the code. */
function statusMessage(body: unknown): string | undefined {
  try {
    const status = typeof body === "string" ? (JSON.parse(body) as { message?: unknown }) : (body as { message?: unknown } | undefined);
    return typeof status?.message === "string" ? status.message : undefined;
  } catch {
    return undefined;
  }
}
