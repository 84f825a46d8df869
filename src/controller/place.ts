/** Where one volume is: a bucket of its own, or a prefix in a shared one. */

export interface Place {
  readonly bucket: string;
  /** "": the whole bucket is the volume's. Else it ends in "/", and nothing outside it is. */
  readonly prefix: string;
}

/** For messages. */
export function nameOf({ bucket, prefix }: Place): string {
  return prefix === "" ? `bucket ${bucket}` : `prefix ${prefix} of bucket ${bucket}`;
}

/** Two places are one exactly when these are equal. */
export function placeKey({ bucket, prefix }: Place): string {
  return `${bucket}/${prefix}`;
}

/** The folder of a mount's own things (probes) in a place: no files of anybody. */
export function ownFolder({ prefix }: Place): string {
  return `${prefix}.bucketmount/`;
}
