/**
 * The Controller service: requests checked, then given to provision.ts and deprovision.ts.
 *
 * It keeps nothing between calls: all state is in the buckets (mark.ts), so that any replica can answer any call.
 */
import { type Clock, systemClock } from "#core/clock.ts";
import { DriverError, isFault } from "#core/errors.ts";
import type { Logger } from "#core/log.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";
import { refusalOf } from "#csi/capabilities.ts";
import { createIdentityHandlers, DRIVER_NAME } from "#csi/identity.ts";
import { createInFlight } from "#csi/in-flight.ts";
import type { CallContext, Handlers } from "#csi/interceptors.ts";
import { createStoreHealth, type StoreHealth } from "#csi/store-health.ts";
import { requireList, requireString } from "#csi/validate.ts";
import type { BucketAdmin, BucketAdminConfig } from "#s3/bucket-admin.ts";
import type { CallOptions } from "#s3/object-store.ts";
import { wantedVolume } from "./create-request.ts";
import { deprovision } from "./deprovision.ts";
import { readMark, sameParameters } from "./mark.ts";
import type {
  CreateVolumeRequest,
  DeleteVolumeRequest,
  ValidateVolumeCapabilitiesRequest,
  ValidateVolumeCapabilitiesResponse,
  Volume,
} from "./messages.ts";
import { parseParameters, type VolumeParameters } from "./parameters.ts";
import { placeKey } from "./place.ts";
import { provision } from "./provision.ts";
import { resolveStore } from "./store.ts";
import { createStoreClients } from "./store-clients.ts";
import { staticStoreOf, volumeContextOf } from "./volume-context.ts";
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
      const { place, store } = wanted;
      const mark = await inFlight.run(placeKey(place), () =>
        clients.use(store, (admin) => provision(admin, wanted, { signal: call.signal })),
      );
      // From the mark alone where it can be: a repeated call gets the same.
      return {
        volume: { capacityBytes: mark.capacityBytes, volumeId: mark.volumeId, volumeContext: volumeContextOf(place, mark, store) },
      };
    },

    DeleteVolume: async (request: DeleteVolumeRequest, call: CallContext): Promise<object> => {
      const volumeId = requireString(request.volumeId, "volume_id");
      const location = decodeVolumeId(volumeId);
      // Not an id that we ever gave: nothing to delete, which the specification calls success.
      if (location === undefined) return {};
      const place = { bucket: location.bucket, prefix: location.prefix };
      const store = resolveStore(location, request.secrets, config.defaultStore);
      await inFlight.run(placeKey(place), () =>
        clients.use(store, (admin) => deprovision(admin, { place, driver, volumeId }, { signal: call.signal }, clock)),
      );
      return {};
    },

    ValidateVolumeCapabilities: async (request: ValidateVolumeCapabilitiesRequest, call: CallContext) => {
      const volumeId = requireString(request.volumeId, "volume_id");
      requireList(request.volumeCapabilities, "volume_capabilities");
      const options = { signal: call.signal };
      const location = decodeVolumeId(volumeId);
      const known = location ?? staticStoreOf(request.volumeContext);
      const store = resolveStore(known ?? {}, request.secrets, config.defaultStore);
      if (location === undefined) {
        // A static volume: somebody wrote its attributes by hand, and the bucket is all that must be there.
        const found = known && (await clients.use(store, (admin) => bucketExists(admin, known.bucket, options)));
        return confirmation(request, found ? {} : notFound(volumeId));
      }
      const found = await clients.use(store, (admin) => readMark(admin, location, options));
      const ours = found.state === "marked" && found.mark.volumeId === volumeId && found.mark.driver === driver;
      return confirmation(request, ours && found.mark.released === undefined ? found.mark.parameters : notFound(volumeId));
    },

    ControllerGetCapabilities: async () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
  };
  return {
    services: { "csi.v1.Identity": identity, "csi.v1.Controller": controller },
    ...(hasDefaultStore ? { storeHealth } : {}),
    close: () => clients.close(),
  };
}

function notFound(volumeId: string): never {
  throw new DriverError("not_found", `volume ${volumeId} does not exist`);
}

async function bucketExists(admin: BucketAdmin, bucket: string, options: CallOptions): Promise<boolean> {
  try {
    await admin.headBucket(bucket, options);
    return true;
  } catch (thrown) {
    if (isFault(thrown, "no_bucket")) return false;
    throw thrown;
  }
}

/** Confirms all or nothing; what is not confirmed is said in `message`, as the specification wants it. */
function confirmation(request: ValidateVolumeCapabilitiesRequest, made: VolumeParameters): ValidateVolumeCapabilitiesResponse {
  const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
  const refusals = volumeCapabilities.map(refusalOf).filter((refusal) => refusal !== undefined);
  if (Object.keys(parameters).length > 0 && !sameParameters(parseParameters(parameters), made)) {
    refusals.push("parameters differ from those of the volume");
  }
  if (Object.keys(mutableParameters).length > 0) refusals.push("mutable_parameters are not supported");
  if (refusals.length > 0) return { message: refusals.join("; ") };
  return { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters }, message: "" };
}
