/** The test suites: where they live, what they need of the machine. `scripts/test.ts` runs them. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { findBinary } from "../test/support/s3-servers.ts";
import { helmProgram } from "./helm-program.ts";

export interface Suite {
  /** Folders given to vitest. */
  readonly paths?: readonly string[];
  /** A program that runs the suite in place of vitest, and writes its counts as JSON into the file that it is given. */
  readonly program?: string;
  /** Why this machine cannot run it, or undefined when it can. */
  readonly unfit?: () => string | undefined;
  /** One test file at a time: for suites that start servers, engines or builds of their own. */
  readonly serial?: boolean;
  /** A vitest configuration of its own. */
  readonly config?: string;
  /** verbose: for suites whose tests' times are of interest. */
  readonly reporter?: "verbose";
}

/** What a real mount needs; undefined when all is there. */
export function unfitForMounts(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root to mount";
  return existsSync("/dev/fuse") ? undefined : "needs /dev/fuse (modprobe fuse, or run the container with --device /dev/fuse)";
}

/** One program of each module that tools.sh builds. */
const CLUSTER_PROGRAMS = ["pause", "kubelet", "etcd", "containerd", "cni/bridge", "helm", "csi-provisioner"];

/** The cluster's programs are built once, which takes half an hour: never as part of a test. */
function unfitForCluster(programs: readonly string[] = CLUSTER_PROGRAMS): string | undefined {
  const folder = process.env["KUBE_BIN"] ?? join(homedir(), ".cache/kube-bin");
  const missing = programs.find((name) => !existsSync(join(folder, name)));
  if (missing !== undefined) return `no ${folder}/${missing}: npm run cluster:tools builds it once (half an hour)`;
  if (findBinary("versitygw") === undefined) return "no versitygw: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0";
  return unfitForMounts();
}

function unfitForStorageTests(): string | undefined {
  return unfitForCluster([...CLUSTER_PROGRAMS, "e2e/e2e.test"]);
}

function unfitForHelm(): string | undefined {
  return helmProgram() === undefined
    ? 'no helm: `bash test/cluster/tools.sh "$HOME/.cache/kube-bin" helm` builds it (3 minutes)'
    : undefined;
}

/** The examples' builds download from mirrors that the tools of this machine have filled. */
function unfitForScenarios(): string | undefined {
  return findBinary("mvn") === undefined ? "no mvn: apt-get install maven" : unfitForCluster();
}

export const SUITES = {
  unit: { paths: ["test/unit", "test/docs"] },
  contract: { paths: ["test/contract"] },
  model: { paths: ["test/model"] },
  fault: { paths: ["test/fault"] },
  kernel: { paths: ["test/kernel"], unfit: unfitForMounts, serial: true },
  interop: { paths: ["test/interop"], unfit: unfitForMounts, serial: true },
  posix: { paths: ["test/posix"], unfit: unfitForMounts, serial: true, reporter: "verbose" },
  sanity: { paths: ["test/sanity"], unfit: unfitForMounts, serial: true },
  helm: { paths: ["test/helm"], unfit: unfitForHelm },
  cluster: {
    paths: ["test/cluster"],
    unfit: unfitForScenarios,
    serial: true,
    config: "test/cluster/vitest.config.ts",
    reporter: "verbose",
  },
  "e2e-storage": { program: "test/e2e-storage/run.ts", unfit: unfitForStorageTests },
} as const satisfies Record<string, Suite>;

export type SuiteName = keyof typeof SUITES;
