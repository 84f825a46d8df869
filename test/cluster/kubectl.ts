/** The Kubernetes API by way of kubectl. */
import type { Cluster } from "./cluster.ts";
import { until } from "./until.ts";

/** As much of any object as is read here. */
export interface KubeObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec?: {
    readonly volumeName?: string;
    readonly completions?: number;
    readonly claimRef?: { readonly name: string; readonly namespace: string };
    readonly containers?: readonly { readonly image: string }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly ready: boolean; readonly restartCount: number; readonly containerID?: string }[];
    readonly succeeded?: number;
    readonly failed?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface KubeEvent {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

/** kubectl for one namespace of a cluster. */
export class Kubectl {
  readonly cluster: Cluster;
  readonly namespace: string;

  constructor(cluster: Cluster, namespace: string) {
    this.cluster = cluster;
    this.namespace = namespace;
  }

  async run(...args: readonly string[]): Promise<string> {
    return this.cluster.inside(["kubectl", "--namespace", this.namespace, ...args]);
  }

  /** Creates or changes objects. */
  async apply(...objects: readonly object[]): Promise<void> {
    await this.cluster.inside(
      ["kubectl", "--namespace", this.namespace, "apply", "-f", "-"],
      JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }),
    );
  }

  /** One object, or undefined when there is none of that name. */
  async find(kind: string, name: string): Promise<KubeObject | undefined> {
    const text = await this.run("get", kind, name, "--ignore-not-found", "--output=json");
    return text === "" ? undefined : (JSON.parse(text) as KubeObject);
  }

  async list(kind: string, ...selector: readonly string[]): Promise<readonly KubeObject[]> {
    return (JSON.parse(await this.run("get", kind, "--output=json", ...selector)) as { items: KubeObject[] }).items;
  }

  /** Deletes and waits for the end of the objects, finalizers included. */
  async remove(kind: string, ...names: readonly string[]): Promise<void> {
    await this.run("delete", kind, ...names, "--ignore-not-found", "--wait", "--timeout=5m");
  }

  async events(name: string): Promise<readonly KubeEvent[]> {
    const text = await this.run("get", "events", "--output=json", `--field-selector=involvedObject.name=${name}`);
    return (JSON.parse(text) as { items: KubeEvent[] }).items;
  }

  /** Waits for a warning on the object of that name whose message matches, and resolves with the message. */
  async warning(name: string, message: RegExp): Promise<string> {
    const event = await until(`a warning on ${name} that matches ${message}`, async () =>
      (await this.events(name)).find(({ type, message: text }) => type === "Warning" && message.test(text)),
    );
    return event.message;
  }

  /** Waits until an object's state is as asked, and resolves with the object. */
  async untilObject(kind: string, name: string, is: (object: KubeObject) => boolean): Promise<KubeObject> {
    let last: KubeObject | undefined;
    try {
      return await until(`${kind} ${name}`, async () => {
        last = await this.find(kind, name);
        return last !== undefined && is(last) && last;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; its last status: ${JSON.stringify(last?.status)}`, { cause: error });
    }
  }

  /** Waits until a pod's containers are ready. */
  async ready(pod: string): Promise<KubeObject> {
    return this.untilObject("pod", pod, isReady);
  }

  /** A shell script in a running pod; resolves with its output. Throws when it fails. */
  async exec(pod: string, script: string): Promise<string> {
    return this.run("exec", pod, "--", "sh", "-c", script);
  }
}

export function isReady({ metadata, status }: KubeObject): boolean {
  const containers = status?.containerStatuses ?? [];
  return metadata.deletionTimestamp === undefined && status?.phase === "Running" && containers.every(({ ready }) => ready);
}
