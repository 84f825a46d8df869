/**
 * What the keeper holds of a mount beside its descriptor: all that a later plugin needs to serve it. The keeper may be older or younger
 * than whoever reads it, and so may be the plugin that wrote it: hence a format's number, and defaults for what an older one did not know.
 *
 * The driver's own keys are left out: after a change of them the next plugin has better ones.
 */
import { DriverError } from "#core/errors.ts";
import { resolveMountOptions } from "#core/options.ts";
import type { Deposit } from "#keeper/client.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import type { Supervised, VolumeMount } from "./staged-volumes.ts";

const FORMAT = 1;

/** What the keeper gets of a mount. The descriptor stays the supervisor's; undefined once the mount has ended. */
export function depositOf({ mount, supervisor }: Supervised): Deposit | undefined {
  const { deviceFd: fd, device } = supervisor;
  return fd === undefined ? undefined : { volumeId: mount.volumeId, device, fd, blob: encodeKeptMount(mount) };
}

export function encodeKeptMount(mount: VolumeMount): Uint8Array {
  const { credentials, ...store } = mount.config.store;
  const kept = mount.keys === "driver" ? store : { ...store, credentials };
  return Buffer.from(JSON.stringify({ format: FORMAT, mount: { ...mount, config: { ...mount.config, store: kept } } }));
}

export interface KeptMountDefaults {
  /** The driver's own. */
  readonly credentials: CredentialSource;
  /** Where the volume's state is for this process. */
  readonly stateDir: string;
}

/** Faults: `corrupt` for what nobody wrote so, `unsupported` for the format of a younger plugin. */
export function decodeKeptMount(blob: Uint8Array, { credentials, stateDir }: KeptMountDefaults): VolumeMount {
  const { format, mount } = parse(blob);
  if (format !== FORMAT) {
    throw new DriverError("unsupported", `what the keeper holds of the mount is of format ${String(format)}; this plugin reads ${FORMAT}`);
  }
  if (
    typeof mount?.volumeId !== "string" ||
    typeof mount.config?.mountPoint !== "string" ||
    typeof mount.config.store?.bucket !== "string"
  ) {
    throw new DriverError("corrupt", "what the keeper holds of the mount is not whole");
  }
  const { config } = mount;
  const options = { ...resolveMountOptions({}, { uid: 0, gid: 0 }), ...config.options };
  return {
    ...mount,
    config: { ...config, stateDir, options, store: { ...config.store, credentials: config.store.credentials ?? credentials } },
  };
}

function parse(blob: Uint8Array): { readonly format?: unknown; readonly mount?: VolumeMount } {
  try {
    return JSON.parse(Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString()) as { format?: unknown; mount?: VolumeMount };
  } catch (cause) {
    throw new DriverError("corrupt", "what the keeper holds of the mount is no JSON", { cause });
  }
}
