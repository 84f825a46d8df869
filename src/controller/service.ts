/**
 * The Controller service: requests checked, then given to provision.ts and deprovision.ts.
 *
 * It keeps nothing between calls: all state is in the buckets (mark.ts), so that any replica can answer any call.
 */
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { refusalOf } from "#csi/capabilities.ts";
import { createIdentityHandlers, DRIVER_NAME } from "#csi/identity.ts";
import { createInFlight } from "#csi/in-flight.ts";
import type { CallContext, Handlers } from "#csi/interceptors.ts";
import type { StringMap } from "#csi/messages.ts";
import { createStoreHealth, type StoreHealth } from "#csi/store-health.ts";
import { requireList, requireString } from "#csi/validate.ts";
import type { BucketAdmin, BucketAdminConfig } from "#s3/bucket-admin.ts";
import { wantedVolume } from "./create-request.ts";
import { deprovision } from "./deprovision.ts";
import { readMark, sameParameters, type VolumeMark } from "./mark.ts";
import type {
  CreateVolumeRequest,
  DeleteVolumeRequest,
  ValidateVolumeCapabilitiesRequest,
  ValidateVolumeCapabilitiesResponse,
  Volume,
} from "./messages.ts";
import { parseParameters } from "./parameters.ts";
import { provision } from "./provision.ts";
import { resolveStore } from "./store.ts";
import { createStoreClients } from "./store-clients.ts";
import { decodeVolumeId } from "./volume-id.ts";

export interface ControllerConfig {
  /** Default: csi/identity.ts's DRIVER_NAME. It stands in every mark: a driver of another name touches none of our buckets. */
  readonly driverName?: string;
  /** The store and account for requests whose parameters and secrets name none. */
  readonly defaultStore: BucketAdminConfig;
  readonly createAdmin: (config: BucketAdminConfig) => BucketAdmin;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Hears when the default store goes and when it comes back. */
  readonly onStoreChange?: ((report: TroubleReport) => void) | undefined;
}

export interface ControllerServices {
  /** For startCsiServer's `services`. */
  readonly services: { readonly "csi.v1.Identity": Handlers; readonly "csi.v1.Controller": Handlers };
  /** Of the default store; absent where there is none. */
  readonly storeHealth?: () => Promise<StoreHealth>;
  /** Closes the S3 clients; after the server's close. */
  close(): Promise<void>;
}

/** What the Controller service can do. */
const CAPABILITIES = ["CREATE_DELETE_VOLUME", "SINGLE_NODE_MULTI_WRITER"] as const;

/** Identity and Controller, for one process. */
export function createControllerServices(config: ControllerConfig): ControllerServices {
  const driver = config.driverName ?? DRIVER_NAME;
  const clock = config.clock ?? systemClock;
  const clients = createStoreClients(config.defaultStore, config.createAdmin);
  const storeHealth = createStoreHealth({
    ping: (options) => clients.shared().ping(options),
    ...{ clock, log: config.log, onChange: config.onStoreChange },
  });
  const hasDefaultStore = config.defaultStore.endpoint !== undefined || config.defaultStore.region !== undefined;
  const identity = createIdentityHandlers({
    name: driver,
    services: ["CONTROLLER_SERVICE"],
    // Without a default store there is nothing to ask: each request brings its own.
    ...(hasDefaultStore ? { ready: async () => (await storeHealth()).up } : {}),
  });
  const inFlight = createInFlight();

  const controller = {
    CreateVolume: async (request: CreateVolumeRequest, call: CallContext): Promise<{ volume: Volume }> => {
      const wanted = wantedVolume(request, { driver, store: config.defaultStore, clock });
      return inFlight.run(wanted.bucket, () =>
        clients.use(wanted.store, async (admin) => {
          const mark = await provision(admin, wanted, { signal: call.signal });
          return { volume: volumeOf(mark, wanted.bucket, wanted.store) };
        }),
      );
    },

    DeleteVolume: async (request: DeleteVolumeRequest, call: CallContext): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const location = decodeVolumeId(volumeId);
      // Not an id that we ever gave: nothing to delete, which the specification calls success.
      if (location === undefined) return {};
      const { bucket } = location;
      const store = resolveStore(location, request.secrets, config.defaultStore);
      await inFlight.run(bucket, () =>
        clients.use(store, (admin) => deprovision(admin, { bucket, driver, volumeId }, { signal: call.signal })),
      );
      return {};
    },

    ValidateVolumeCapabilities: async (request: ValidateVolumeCapabilitiesRequest, call: CallContext) => {
      const volumeId = requireString(request.volumeId, "volume_id");
      requireList(request.volumeCapabilities, "volume_capabilities");
      const location = decodeVolumeId(volumeId);
      const store = resolveStore(location ?? {}, request.secrets, config.defaultStore);
      const found = location && (await clients.use(store, (admin) => readMark(admin, location.bucket, { signal: call.signal })));
      if (found?.state !== "marked" || found.mark.volumeId !== volumeId || found.mark.driver !== driver) {
        throw new DriverError("not_found", `volume ${volumeId} does not exist`);
      }
      return confirmation(request, found.mark);
    },

    ControllerGetCapabilities: async () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
  };
  return {
    services: { "csi.v1.Identity": identity, "csi.v1.Controller": controller },
    ...(hasDefaultStore ? { storeHealth } : {}),
    close: () => clients.close(),
  };
}

/** The answer, from the mark alone where it can be: a repeated call gets the same. */
function volumeOf(mark: VolumeMark, bucket: string, store: BucketAdminConfig): Volume {
  return { capacityBytes: mark.capacityBytes, volumeId: mark.volumeId, volumeContext: volumeContext(bucket, store) };
}

/** What the node needs to find the bucket. Never credentials: a PersistentVolume is no secret. */
function volumeContext(bucket: string, { endpoint, region, pathStyle }: BucketAdminConfig): StringMap {
  return {
    bucket,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(pathStyle === undefined ? {} : { pathStyle: String(pathStyle) }),
  };
}

/** Confirms all or nothing; what is not confirmed is said in `message`, as the specification wants it. */
function confirmation(request: ValidateVolumeCapabilitiesRequest, mark: VolumeMark): ValidateVolumeCapabilitiesResponse {
  const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
  const refusals = volumeCapabilities.map(refusalOf).filter((refusal) => refusal !== undefined);
  if (Object.keys(parameters).length > 0 && !sameParameters(parseParameters(parameters), mark.parameters)) {
    refusals.push("parameters differ from those of the volume");
  }
  if (Object.keys(mutableParameters).length > 0) refusals.push("mutable_parameters are not supported");
  if (refusals.length > 0) return { message: refusals.join("; ") };
  return { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters }, message: "" };
}
