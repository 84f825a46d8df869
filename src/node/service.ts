/**
 * The Node service: requests checked, then given to stage.ts, publish.ts and stats.ts.
 *
 * This process never waits for a mounted file system without a deadline and never opens a file in one: an engine that hangs must not
 * take the plugin, and with it the other volumes, along. It may end at any time; engines and mounts stay.
 */
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { checkCapability } from "#csi/capabilities.ts";
import { createIdentityHandlers, DRIVER_NAME } from "#csi/identity.ts";
import type { CallContext, Handlers } from "#csi/interceptors.ts";
import { checkMap, requirePath, requireString } from "#csi/validate.ts";
import type { Keeper } from "#keeper/client.ts";
import { broughtBy, parseSecrets } from "./credentials.ts";
import type { EngineCommand } from "./engine-process.ts";
import { createKeeping, type Keeping } from "./keeping.ts";
import type { SealingMounts } from "./kernel-mounts.ts";
import type {
  NodeGetVolumeStatsRequest,
  NodePublishVolumeRequest,
  NodeStageVolumeRequest,
  NodeUnpublishVolumeRequest,
  NodeUnstageVolumeRequest,
} from "./messages.ts";
import { bindFlags, isSingle, type Publication, publishVolume, unpublishVolume } from "./publish.ts";
import { type StagingParts, stageVolume, unstageVolume } from "./stage.ts";
import { planStage, type StageDefaults, viewOf } from "./stage-plan.ts";
import { StagedVolumes, type Supervised } from "./staged-volumes.ts";
import { volumeUsage } from "./stats.ts";
import { canonicalPath } from "./target-path.ts";
import { unsealAbandoned } from "./under-mount.ts";
import { hasAttributes } from "./volume-context.ts";
import { VolumeGate } from "./volume-gate.ts";
import { VolumeRecords } from "./volume-records.ts";
import { VolumeSharing } from "./volume-sharing.ts";

export interface NodeConfig {
  /** What the orchestrator calls this machine. */
  readonly nodeId: string;
  /** Default: csi/identity.ts's DRIVER_NAME. */
  readonly driverName?: string;
  /** Absolute. One folder a volume is made below it: cache, spool, journal and record. It must outlive the process. */
  readonly stateDir: string;
  /** For volumes whose attributes, flags and secrets do not say. */
  readonly defaults: StageDefaults;
  /** How to start an engine: `[execPath, ...execArgv, main, "engine"]`. */
  readonly engine: EngineCommand;
  readonly mounts: SealingMounts;
  readonly log: Logger;
  /** The engines' standard output and error; default 2, this process's own. */
  readonly engineLogFd?: number;
  /** What the engines' environment is made of; default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Hears what is wrong with a mounted volume, and when it is over. */
  readonly onTrouble?: ((volumeId: string, report: TroubleReport) => void) | undefined;
  /** Holds copies of the mounts' descriptors, so that a successor of this process can go on with them. */
  readonly keeper?: Keeper | undefined;
}

/** For startCsiServer's `services`. */
export interface NodeServices {
  readonly services: { readonly "csi.v1.Identity": Handlers; readonly "csi.v1.Node": Handlers };
  /** The volumes that this process supervises now. */
  volumes(): readonly Supervised[];
  /** To be called before the services are served. Undefined without a keeper. */
  readonly keeping: Keeping | undefined;
  /** Frees the directories of pods that the kubelet cannot unpublish any more, and answers them. */
  unsealAbandoned(): Promise<readonly string[]>;
}

/** What the Node service can do. */
const CAPABILITIES = ["STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "SINGLE_NODE_MULTI_WRITER", "VOLUME_MOUNT_GROUP"] as const;

/** A path in a request: of the kubelet's making, so longer than an id. */
const MAX_PATH_BYTES = 4095;

/** Identity and Node, for one process. Nothing is touched before the first call. */
export function createNodeServices(config: NodeConfig): NodeServices {
  const { log, mounts } = config;
  const records = new VolumeRecords(config.stateDir);
  const gate = new VolumeGate();
  const keeping = config.keeper && createKeeping({ ...config, keeper: config.keeper, records, gate, staged: () => staged });
  const staged = new StagedVolumes({
    records,
    mounts,
    log,
    command: config.engine,
    env: config.env ?? process.env,
    logFd: config.engineLogFd ?? 2,
    onTrouble: config.onTrouble,
    custody: keeping?.custody,
  });
  const parts = { staged, records, sharing: new VolumeSharing(staged, records), mounts, log };
  const identity = createIdentityHandlers({ name: config.driverName ?? DRIVER_NAME, services: ["CONTROLLER_SERVICE"] });
  return {
    services: { "csi.v1.Identity": identity, "csi.v1.Node": createNodeHandlers(parts, gate, config) },
    volumes: () => staged.all(),
    keeping,
    unsealAbandoned: async () =>
      unsealAbandoned(
        mounts,
        (await records.all()).flatMap(({ targets }) => targets),
      ),
  };
}

function createNodeHandlers(parts: StagingParts, gate: VolumeGate, config: NodeConfig): Handlers {
  return {
    NodeStageVolume: async (request: NodeStageVolumeRequest): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const path = requirePath(request.stagingTargetPath, "staging_target_path");
      const capability = checkCapability(request.volumeCapability);
      const [volumeContext, secrets] = [checkMap(request.volumeContext, "volume_context"), request.secrets ?? {}];
      const plan = planStage({ volumeContext, secrets }, capability, config.defaults);
      await gate.alone(volumeId, async () => stageVolume(parts, { volumeId, stagingPath: await canonicalPath(path) }, plan));
      return {};
    },

    NodeUnstageVolume: async (request: NodeUnstageVolumeRequest, call: CallContext): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const path = requirePath(request.stagingTargetPath, "staging_target_path");
      await gate.alone(volumeId, async () => unstageVolume(parts, { volumeId, stagingPath: await canonicalPath(path) }, call.deadlineAt));
      return {};
    },

    NodePublishVolume: async (request: NodePublishVolumeRequest): Promise<object> => {
      const publication = await publicationOf(request, config.defaults);
      const { volumeId, targetPath, single } = publication;
      const publish = () => publishVolume(parts, publication);
      await (single ? gate.alone(volumeId, publish) : gate.atTarget(volumeId, targetPath, publish));
      return {};
    },

    NodeUnpublishVolume: async (request: NodeUnpublishVolumeRequest, call: CallContext): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const targetPath = await canonicalPath(requirePath(request.targetPath, "target_path"));
      await gate.atTarget(volumeId, targetPath, () => unpublishVolume(parts, { volumeId, targetPath }, call.deadlineAt));
      return {};
    },

    NodeGetVolumeStats: async (request: NodeGetVolumeStatsRequest): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const path = requireString(request.volumePath, "volume_path", MAX_PATH_BYTES);
      // Not a path of ours, so nothing is there.
      if (!path.startsWith("/")) throw new DriverError("not_found", `volume ${volumeId} is not mounted on "${path}"`);
      return { usage: await volumeUsage(parts.staged, volumeId, await canonicalPath(path)) };
    },

    NodeGetInfo: async () => ({ nodeId: config.nodeId, maxVolumesPerNode: 0 }),

    NodeGetCapabilities: async () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
  };
}

/** The request, checked and read. */
async function publicationOf(request: NodePublishVolumeRequest, defaults: StageDefaults): Promise<Publication> {
  const volumeId = requireString(request.volumeId, "volume_id");
  const target = requirePath(request.targetPath, "target_path");
  const capability = checkCapability(request.volumeCapability);
  const [flags, single] = [bindFlags(capability, request.readonly), isSingle(capability)];
  const [volumeContext, secrets] = [checkMap(request.volumeContext, "volume_context"), request.secrets ?? {}];
  const plan = hasAttributes(volumeContext) ? planStage({ volumeContext, secrets }, capability, defaults) : undefined;
  const brought = broughtBy(parseSecrets(secrets), defaults);
  const [stagingPath, targetPath] = await Promise.all([canonicalPath(requireStagingPath(request)), canonicalPath(target)]);
  return { volumeId, stagingPath, targetPath, flags, single, view: plan?.view ?? viewOf(capability), plan, brought };
}

/** The specification has its own answer for a staging path that is not set: FAILED_PRECONDITION. */
function requireStagingPath({ stagingTargetPath }: NodePublishVolumeRequest): string {
  if (stagingTargetPath === "") throw new DriverError("precondition", "staging_target_path is missing: this driver stages volumes first");
  return requirePath(stagingTargetPath, "staging_target_path");
}
