/** How a mounted place is written: what `mount` and `df` show as the device. */

/** `s3://bucket` or `s3://bucket/prefix`. */
export function storeUrl({ bucket, prefix }: { readonly bucket: string; readonly prefix: string }): string {
  return `s3://${bucket}${prefix === "" ? "" : `/${prefix.replace(/\/$/, "")}`}`;
}
