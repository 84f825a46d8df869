/**
 * The architecture in one table: which folder of src/ may import what. `check-layers.ts` enforces it and `generate.ts` prints it
 * into docs/ARCHITECTURE.md.
 *
 * An arrow of the design, `a <- b`, means that b may import a and what is left of a on its line, never the reverse. Folders that are
 * named together there (cache and journal, read and write, controller and node) have no row for each other here.
 */
export interface Layer {
  /** One line for the documentation. */
  readonly does: string;
  /** Folders or files this one may import; itself is always allowed. */
  readonly layers: readonly string[];
  /** Folders or files it may name in `import type` only. */
  readonly types?: readonly string[];
  /** Packages and node: builtins it may import; a trailing * matches any rest. */
  readonly packages: readonly string[];
}

/** The public faces: what lies behind them is nobody else's business. */
const ENGINE = "src/fuse/engine/index.ts";
const KEEPER = "src/keeper/client.ts";
const ENGINE_PROTOCOL = "src/fuse/engine/protocol.ts";
const S3 = "src/s3/index.ts";
const S3_TYPES = "src/s3/object-store.ts";

/** The longest matching row wins. Order: from the bottom up, as in the documentation. */
export const LAYERS: Readonly<Record<string, Layer>> = {
  "src/core": {
    does: "errors, errno, structs, options, ranges, clock, log: no I/O",
    layers: [],
    packages: ["pino", "lru-cache", "node:async_hooks"],
  },
  "src/s3": {
    does: "the object store: requests, signatures, retries, buckets, credentials",
    layers: ["src/core"],
    packages: ["node:*", "undici", "@aws-sdk/*", "@smithy/*", "aws4", "fast-xml-parser"],
  },
  "src/fuse/wire": { does: "the kernel's ABI as tables: bytes only", layers: ["src/core"], packages: [] },
  "src/fuse/channel": {
    does: "/dev/fuse, mount(2), the request loop, passthrough",
    layers: ["src/core", "src/fuse/wire"],
    packages: ["node:*", "koffi", "fuse-native"],
  },
  "src/fuse/cache": {
    does: "content and attributes that outlive the engine, bounded",
    layers: ["src/core"],
    types: [S3_TYPES],
    packages: ["node:*", "lru-cache"],
  },
  "src/fuse/journal": { does: "what a successor engine needs, on disk", layers: ["src/core"], types: [S3_TYPES], packages: ["node:*"] },
  "src/fuse/read": {
    does: "read-ahead and ranged reads",
    layers: ["src/core", "src/s3", "src/fuse/cache", "src/fuse/journal"],
    packages: ["node:*"],
  },
  "src/fuse/write": {
    does: "dirty files in the spool, uploads, multipart",
    layers: ["src/core", "src/s3", "src/fuse/cache", "src/fuse/journal"],
    types: ["src/fuse/read"],
    packages: ["node:*"],
  },
  "src/fuse/vfs": {
    does: "inodes, handles, lookups, directories, rename, attributes",
    layers: ["src/core", "src/s3", "src/fuse/cache", "src/fuse/journal", "src/fuse/read", "src/fuse/write"],
    types: ["src/fuse/wire"],
    packages: ["node:*", "lru-cache"],
  },
  "src/fuse/engine": {
    does: "wires one volume together: channel, vfs, cache, journal",
    layers: ["src/core", "src/s3", "src/fuse"],
    packages: ["node:*", "undici"],
  },
  "src/keeper": {
    does: "holds copies of the mounts' descriptors for the time in which no node plugin runs; its client",
    layers: ["src/core", "src/fuse/channel"],
    packages: ["node:*"],
  },
  "src/kube": {
    does: "the Kubernetes API: events on claims and pods",
    layers: ["src/core"],
    packages: ["node:*", "@kubernetes/client-node*", "undici"],
  },
  "src/csi": {
    does: "the gRPC side: server, status codes, identity, validation; metrics and health over HTTP",
    layers: ["src/core"],
    packages: ["node:*", "@grpc/*", "prom-client"],
  },
  "src/controller": {
    does: "CSI Controller: buckets for volumes",
    layers: ["src/core", "src/csi", "src/kube", S3],
    types: ["src/s3"],
    packages: ["node:*", "@grpc/*"],
  },
  "src/node": {
    does: "CSI Node: stage, publish, engine processes, kubelet registration",
    layers: ["src/core", "src/csi", "src/kube", S3, ENGINE, KEEPER],
    types: [ENGINE_PROTOCOL, "src/s3"],
    packages: ["node:*", "@grpc/*"],
  },
  "src/cli": {
    does: "the command: arguments, signals, exit codes",
    layers: ["src/core", "src/csi", "src/kube", "src/keeper", "src/controller", "src/node", S3, ENGINE],
    types: [ENGINE_PROTOCOL, "src/s3"],
    packages: ["node:*", "@grpc/*", "commander", "pino"],
  },
};

/** Packages that few may touch, whatever the rows above say. */
export const RESTRICTED: Readonly<Record<string, readonly string[]>> = {
  koffi: ["src/fuse/channel"],
  "fuse-native": ["src/fuse/channel"],
  undici: ["src/s3", "src/kube"],
  "@aws-sdk/*": ["src/s3"],
  "@smithy/*": ["src/s3"],
  "@kubernetes/*": ["src/kube"],
  "node:child_process": ["src/node", "src/cli"],
};

/** The only files that may end the process. */
export const MAY_EXIT: readonly string[] = ["src/cli/main.ts", "src/cli/engine.ts"];

/** True when `name` is `pattern`, or starts with it where it ends in "*". */
export function matches(name: string, pattern: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** True when the path is the folder or file itself, or lies below it. */
export function isUnder(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** The row of LAYERS a file belongs to. */
export function layerOf(file: string): string | undefined {
  return Object.keys(LAYERS)
    .filter((layer) => isUnder(file, layer))
    .toSorted((a, b) => b.length - a.length)[0];
}
