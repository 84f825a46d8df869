/** Is a mark that is there the volume that is asked for: the specification's rule for a name that is known. Pure. */
import { DriverError } from "#core/errors.ts";
import { type Marked, sameParameters, type VolumeMark } from "./mark.ts";
import type { VolumeParameters } from "./parameters.ts";
import { nameOf, type Place } from "./place.ts";

export interface ProvisionRequest {
  readonly place: Place;
  /** The region for the bucket's LocationConstraint. */
  readonly region: string | undefined;
  /** The mark of the volume that is asked for. */
  readonly mark: VolumeMark;
  /** CSI's capacity range: 0 means not given. */
  readonly limitBytes: number;
}

/** The mark, when it is of the same name, with the same parameters, and of a size in the asked range; else `exists` (ALREADY_EXISTS). */
export function requireCompatible(found: Marked, { place, mark, limitBytes }: ProvisionRequest): VolumeMark {
  if (found.state !== "marked") {
    const reason = found.state === "unreadable" ? `its mark cannot be used: ${found.reason}` : "its mark vanished while it was made";
    throw new DriverError(found.state === "unreadable" ? "exists" : "conflict", `${nameOf(place)}: ${reason}`);
  }
  const there = found.mark;
  const reason = differenceOf(there, mark, limitBytes);
  if (reason !== undefined)
    throw new DriverError("exists", `volume ${JSON.stringify(mark.volumeName)}: ${nameOf(place)} exists with ${reason}`);
  return there;
}

function differenceOf(there: VolumeMark, mark: VolumeMark, limitBytes: number): string | undefined {
  if (there.driver !== mark.driver) return `another driver's mark (${there.driver})`;
  if (there.volumeName !== mark.volumeName)
    return `another volume's mark (${there.volumeName}${claimText(there)}): each volume needs a name of its own`;
  if (there.released !== undefined) {
    const { at, onDelete } = there.released;
    return `the data of this volume, which was deleted at ${at} and kept (onDelete ${onDelete}): mount it as a static PersistentVolume`;
  }
  if (!sameParameters(there.parameters, mark.parameters)) return `other parameters (${namesThatDiffer(there.parameters, mark.parameters)})`;
  if (there.volumeId !== mark.volumeId) return `another volume id (${there.volumeId})`;
  if (there.capacityBytes < mark.capacityBytes || (limitBytes > 0 && there.capacityBytes > limitBytes)) {
    const range = `${mark.capacityBytes}${limitBytes > 0 ? ` to ${limitBytes}` : " or more"}`;
    return `another size: ${there.capacityBytes} bytes, asked for ${range}`;
  }
  return undefined;
}

/** Whose volume it is; and that it is one no more, which is why it is in the way of a claim of the same name. */
function claimText({ claim, released }: VolumeMark): string {
  const whose = claim.name === undefined ? "" : `, claim ${claim.namespace ?? ""}/${claim.name}`;
  return released === undefined ? whose : `${whose}, deleted at ${released.at} and kept`;
}

function namesThatDiffer(a: VolumeParameters, b: VolumeParameters): string {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])] as (keyof VolumeParameters)[];
  return names.filter((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name])).join(", ");
}
