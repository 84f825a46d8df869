/** The objects that the scenarios make. */
import { DRIVER_NAME, STORAGE_CLASS } from "./driver.ts";
import { BUSYBOX } from "./images.ts";

type Json = Readonly<Record<string, unknown>>;
export type AccessMode = "ReadWriteMany" | "ReadOnlyMany" | "ReadWriteOnce" | "ReadWriteOncePod";

export interface ClaimOptions {
  readonly storageClass?: string;
  readonly modes?: readonly AccessMode[];
  /** Of a PersistentVolume that was made by hand. */
  readonly volume?: string;
}

export function claim(name: string, { storageClass = STORAGE_CLASS, modes = ["ReadWriteMany"], volume }: ClaimOptions = {}): Json {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name },
    spec: {
      accessModes: modes,
      storageClassName: volume === undefined ? storageClass : "",
      ...(volume === undefined ? {} : { volumeName: volume }),
      resources: { requests: { storage: "1Gi" } },
    },
  };
}

export interface PodOptions {
  readonly claim: string;
  /** A shell script; the default waits to be told things by exec. */
  readonly script?: string;
  readonly image?: string;
  readonly readOnly?: boolean;
  /** Of the pod. */
  readonly securityContext?: Json;
  readonly labels?: Json;
}

/** A pod with the claim at /volume. */
export function pod(name: string, options: PodOptions): Json {
  const { claim: claimName, script = "sleep 1d & wait", image = BUSYBOX, readOnly = false, securityContext = {}, labels = {} } = options;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: {
      // The shell is process 1 and ignores SIGTERM: nothing is gained by waiting.
      ...{ terminationGracePeriodSeconds: 1, dnsPolicy: "Default", automountServiceAccountToken: false, restartPolicy: "Never" },
      securityContext,
      containers: [
        { name: "main", image, command: ["sh", "-c", script], volumeMounts: [{ name: "volume", mountPath: "/volume", readOnly }] },
      ],
      volumes: [{ name: "volume", persistentVolumeClaim: { claimName } }],
    },
  };
}

export interface StaticVolumeOptions {
  /** Unlike all others of the driver. */
  readonly handle: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly modes?: readonly AccessMode[];
  readonly mountOptions?: readonly string[];
  /** Secret for the node, as namespace and name. */
  readonly secret?: { readonly namespace: string; readonly name: string };
  readonly readOnly?: boolean;
}

/** A PersistentVolume on a bucket that is there already. */
export function staticVolume(name: string, options: StaticVolumeOptions): Json {
  const { handle, attributes, modes = ["ReadWriteMany"], mountOptions = [], secret, readOnly = false } = options;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      ...{ capacity: { storage: "1Gi" }, accessModes: modes, mountOptions, persistentVolumeReclaimPolicy: "Retain", storageClassName: "" },
      csi: {
        ...{ driver: DRIVER_NAME, volumeHandle: handle, volumeAttributes: attributes, readOnly },
        ...(secret === undefined ? {} : { nodeStageSecretRef: secret, nodePublishSecretRef: secret }),
      },
    },
  };
}

export function storageClass(name: string, parameters: Readonly<Record<string, string>>, extra: Json = {}): Json {
  return { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name }, provisioner: DRIVER_NAME, parameters, ...extra };
}

/** The parameters by which a class names the secret of its volumes. */
export function secretParameters(namespace: string, name: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ["provisioner", "node-stage", "node-publish"].flatMap((call) => [
      [`csi.storage.k8s.io/${call}-secret-name`, name],
      [`csi.storage.k8s.io/${call}-secret-namespace`, namespace],
    ]),
  );
}

export function keysSecret(name: string, keys: { readonly accessKeyId: string; readonly secretAccessKey: string }): Json {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name },
    stringData: { accessKeyID: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
  };
}
